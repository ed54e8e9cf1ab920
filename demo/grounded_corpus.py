"""Record demonstrations in BabyAI's grid world as videos: what its expert sees, and its mission as speech.

    python -m demo.grounded_corpus --output grounded-output/corpus --num-missions 1000

BabyAI (Chevalier-Boisvert et al. 2019) is the field's benchmark of grounded language; nobody here drew it.
Its missions are its own sentences, its expert (`BabyAIBot`) carries them out. Some pairs of colour and object
are held out: no training video says or shows one as a goal. Writes what `demo.render_corpus` writes.
"""

import argparse
import csv
import io
import json
import random
from collections.abc import Iterator, Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np

from demo.render_corpus import webvtt

LEVELS = (*("BabyAI-GoToObjS4-v0", "BabyAI-GoToObj-v0", "BabyAI-GoToLocalS5N2-v0", "BabyAI-PickupDist-v0"),)
COLORS, OBJECTS = ("blue", "green", "grey", "purple", "red", "yellow"), ("ball", "box", "key")
Pairs = Set[tuple[str, str]]
HELD_OUT: Pairs = {("blue", "ball"), ("green", "key"), ("purple", "box"), ("red", "key")}  # of 18
TRAINING_PAIRS: Pairs = set(product(COLORS, OBJECTS)) - HELD_OUT
HELD_OUT_SHARE = 0.2  # of the videos; each has at least one such pair
MISSIONS_A_VIDEO = 4
FPS = 4  # steps of the world a second
HOLD_SECONDS = 3.0  # at the goal: two clips of 1.5 s, so that at least one shows nothing else
# The view is the package's smallest, 3 x 3 tiles instead of 7 x 7: a goal is 74 pixels wide and not 32. Of
# 150 last pictures EfficientNet-Lite0 and a logistic regression on 300 others tell the colour of 0.92 (5 x 5:
# 0.90, 7 x 7: 0.87) and the kind of 1.00 (0.98, 0.97). With 64 clusters in their place, 0.57 (0.46, 0.43) of
# the colours are told.
VIEW, TILE = 3, 74  # tiles to each side, pixels of one: 222 x 222, near the 224 of the backbone
MAX_STEPS = 60
NEW_PAIRS = "new-pairs.csv"
ANNOTATIONS = {  # by file, what its labels are
    "annotations.jsonl": ("color", "object"),
    "color.jsonl": ("color",),
    "object.jsonl": ("object",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A mission between two times, in seconds: the colour and the kind of its goal."""

    start: float
    end: float
    color: str
    object: str
    mission: str


def main() -> None:
    """Parse, record, say where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the videos and manifest.csv")
    parser.add_argument("--num-missions", type=int, default=1000)
    options = parser.parse_args()
    videos = record_corpus(options.output, num_videos=options.num_missions // MISSIONS_A_VIDEO)
    print(f"{len(videos)} videos of {MISSIONS_A_VIDEO} missions each in {options.output}")


def record_corpus(output: Path, *, num_videos: int) -> list[dict[str, Any]]:
    """Write videos, transcripts, manifest.csv, heldout.csv, new-pairs.csv and annotations; what there is
    stays."""
    output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as workers:
        videos = list(workers.map(partial(record_video, output), range(num_videos)))
    with (output / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "transcript", "video_id", "split"])
        rows.writerows([f"{v['name']}.mp4", f"{v['name']}.vtt", v["name"], v["split"]] for v in videos)
    asked = [(v["name"], step) for v in videos if v["split"] == "heldout" for step in v["steps"]]
    write_clips(output / "heldout.csv", asked)
    write_clips(output / NEW_PAIRS, [(v, s) for v, s in asked if (s["color"], s["object"]) in HELD_OUT])
    for name, columns in ANNOTATIONS.items():
        lines = (json.dumps(row) for video in videos for row in annotations_of(video, columns))
        (output / name).write_text("".join(f"{line}\n" for line in lines))
    return videos


def write_clips(path: Path, steps: list[tuple[str, dict[str, Any]]]) -> None:
    """What zero-shot classification asks about: its two words, `verb` and `object`, are colour and kind."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video_id", "start_seconds", "end_seconds", "verb", "object"])
        rows.writerows([video, s["start"], s["end"], s["color"], s["object"]] for video, s in steps)


def record_video(output: Path, number: int) -> dict[str, Any]:
    """Some missions behind one another, each said when it begins; the same for the same number."""
    name = f"mission-{number:05}"
    facts, path = output / f"{name}.json", output / f"{name}.mp4"
    if facts.exists() and path.exists():
        found: dict[str, Any] = json.loads(facts.read_text())
        return found
    chance = random.Random(number)
    is_held_out = chance.random() < HELD_OUT_SHARE
    wanted = [TRAINING_PAIRS] * MISSIONS_A_VIDEO
    if is_held_out:
        wanted[chance.randrange(MISSIONS_A_VIDEO)] = HELD_OUT
    steps: list[Step] = []
    frames: list[np.ndarray] = []
    for pairs in wanted:
        (color, kind), mission, mine = demonstration(pairs, chance)
        start = len(frames) / FPS
        frames += mine + [mine[-1]] * round(HOLD_SECONDS * FPS)
        steps.append(Step(start=start, end=len(frames) / FPS, color=color, object=kind, mission=mission))
    captions = [(s.start, s.end - 0.2, f"{s.mission[0].upper()}{s.mission[1:]}.") for s in steps]
    path.with_suffix(".vtt").write_text(webvtt(captions))
    write_video(path, frames)
    split = "heldout" if is_held_out else "train"
    video = {"name": name, "split": split, "steps": [asdict(step) for step in steps]}
    facts.write_text(json.dumps(video))
    return video


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    """H.264 of pictures uint8 [height, width, 3]; whole or not there."""
    unfinished = path.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "ultrafast", "crf": "20"})
        stream.width = stream.height = VIEW * TILE
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, FPS)
        for at, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    unfinished.rename(path)


def demonstration(pairs: Pairs, chance: random.Random) -> tuple[tuple[str, str], str, list[np.ndarray]]:
    """A goal of those pairs, the mission's words and what its expert sees: uint8 [222, 222, 3] a step."""
    while True:
        found = attempt(chance.choice(LEVELS), chance.randrange(2**31), pairs)
        if found is not None:
            return found


def attempt(level: str, seed: int, pairs: Pairs) -> tuple[tuple[str, str], str, list[np.ndarray]] | None:
    """None if the level's mission at this seed has another goal, or the expert needs too long."""
    import gymnasium
    import minigrid  # noqa: F401  (registers its levels)
    from minigrid.utils.baby_ai_bot import BabyAIBot

    env = gymnasium.make(level)
    world: Any = env.unwrapped
    with redirect_stdout(io.StringIO()):  # what it has thrown away on its way to a level
        env.reset(seed=seed)
    goal = (world.instrs.desc.color, world.instrs.desc.type)
    if goal not in pairs:
        return None
    expert: Any = BabyAIBot(world)  # type: ignore[no-untyped-call]
    action, frames = None, [view_of(world)]
    for _ in range(MAX_STEPS):
        action = expert.replan(action)
        _, reward, is_over, _, _ = env.step(action)
        frames.append(view_of(world))
        if is_over:
            return (goal, world.mission, frames) if float(reward) > 0 else None
    return None


def view_of(world: Any) -> np.ndarray:
    """What the expert sees from where it stands, as the package draws its own view, of another size."""
    seen, is_visible = world.gen_obs_grid(VIEW)
    picture: np.ndarray = seen.render(
        TILE, agent_pos=(VIEW // 2, VIEW - 1), agent_dir=3, highlight_mask=is_visible
    )
    return picture


def annotations_of(video: dict[str, Any], columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Of each mission these facts as labels, the mission as a caption, and two questions."""
    chance = random.Random(video["name"])
    split = "test" if video["split"] == "heldout" else "train"
    if split == "train" and chance.random() < 0.1:
        split = "validation"
    for step in video["steps"]:
        here = {
            "video_id": video["name"],
            "split": split,
            "start_seconds": step["start"],
            "end_seconds": step["end"],
        }
        yield here | {"labels": [step[name] for name in columns], "captions": [step["mission"]]}
        color = f"what color is the {step['object']} at the end ?"
        yield here | {"question": color, "question_type": "color", "answer": step["color"]}
        kind = "what is at the end ?"
        yield here | {"question": kind, "question_type": "object", "answer": step["object"]}


if __name__ == "__main__":
    main()
