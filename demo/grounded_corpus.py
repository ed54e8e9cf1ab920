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
from collections.abc import Iterator
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
HELD_OUT = {("blue", "ball"), ("green", "key"), ("purple", "box"), ("red", "key")}  # of 18
HELD_OUT_SHARE = 0.2  # of the videos; each has at least one such pair
MISSIONS_A_VIDEO = 4
FPS = 4  # steps of the world a second
HOLD_SECONDS = 1.5  # at the goal, before the next mission
TILE, VIEW = 32, 7  # pixels of a tile, tiles that the expert sees to each side: 224 x 224
MAX_STEPS = 60


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
    """Write videos, transcripts, manifest.csv, heldout.csv and annotations.jsonl; what there is stays."""
    output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as workers:
        videos = list(workers.map(partial(record_video, output), range(num_videos)))
    with (output / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "transcript", "video_id", "split"])
        rows.writerows([f"{v['name']}.mp4", f"{v['name']}.vtt", v["name"], v["split"]] for v in videos)
    with (output / "heldout.csv").open("w", newline="") as file:
        rows = csv.writer(
            file
        )  # `verb` and `object` are the two words that zero-shot classification fills in
        rows.writerow(["video_id", "start_seconds", "end_seconds", "verb", "object"])
        for video in videos:
            if video["split"] == "heldout":
                rows.writerows(
                    [video["name"], step["start"], step["end"], step["color"], step["object"]]
                    for step in video["steps"]
                )
    lines = (json.dumps(row) for video in videos for row in annotations_of(video))
    (output / "annotations.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return videos


def record_video(output: Path, number: int) -> dict[str, Any]:
    """Some missions behind one another, each said when it begins; the same for the same number."""
    name = f"mission-{number:05}"
    facts, path = output / f"{name}.json", output / f"{name}.mp4"
    if facts.exists() and path.exists():
        found: dict[str, Any] = json.loads(facts.read_text())
        return found
    chance = random.Random(number)
    is_held_out = chance.random() < HELD_OUT_SHARE
    wanted = [chance.choice(sorted(TRAINING_PAIRS)) for _ in range(MISSIONS_A_VIDEO)]
    if is_held_out:
        wanted[chance.randrange(MISSIONS_A_VIDEO)] = chance.choice(sorted(HELD_OUT))
    steps, captions, seconds = [], [], 0.0
    unfinished = path.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "ultrafast", "crf": "20"})
        stream.width = stream.height = TILE * VIEW
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, FPS)
        for pair in wanted:
            mission, frames = demonstration(pair, chance)
            frames += [frames[-1]] * round(HOLD_SECONDS * FPS)
            end = seconds + len(frames) / FPS
            steps.append(Step(start=seconds, end=end, color=pair[0], object=pair[1], mission=mission))
            captions.append((seconds, end - 0.2, f"{mission[0].upper()}{mission[1:]}."))
            for at, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(seconds * FPS) + at, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            seconds = end
        container.mux(stream.encode(None))
    path.with_suffix(".vtt").write_text(webvtt(captions))
    unfinished.rename(path)
    video = {
        "name": name,
        "split": "heldout" if is_held_out else "train",
        "steps": [asdict(s) for s in steps],
    }
    facts.write_text(json.dumps(video))
    return video


TRAINING_PAIRS = set(product(COLORS, OBJECTS)) - HELD_OUT


def demonstration(pair: tuple[str, str], chance: random.Random) -> tuple[str, list[np.ndarray]]:
    """A mission whose goal is that pair, and what its expert sees: uint8 [224, 224, 3] a step."""
    while True:
        found = attempt(chance.choice(LEVELS), chance.randrange(2**31), pair)
        if found is not None:
            return found


def attempt(level: str, seed: int, pair: tuple[str, str]) -> tuple[str, list[np.ndarray]] | None:
    """None if the level's mission at this seed has another goal, or the expert needs too long."""
    import gymnasium
    import minigrid  # noqa: F401  (registers its levels)
    from minigrid.utils.baby_ai_bot import BabyAIBot

    env = gymnasium.make(level)
    world: Any = env.unwrapped
    with redirect_stdout(io.StringIO()):  # what it has thrown away on its way to a level
        env.reset(seed=seed)
    goal = world.instrs.desc
    if (goal.color, goal.type) != pair:
        return None
    expert: Any = BabyAIBot(world)  # type: ignore[no-untyped-call]
    action, frames = None, [view_of(world)]
    for _ in range(MAX_STEPS):
        action = expert.replan(action)
        _, reward, is_over, _, _ = env.step(action)
        frames.append(view_of(world))
        if is_over:
            return (world.mission, frames) if float(reward) > 0 else None
    return None


def view_of(world: Any) -> np.ndarray:
    """What the expert sees from where it stands."""
    picture: np.ndarray = world.get_frame(highlight=False, tile_size=TILE, agent_pov=True)
    return picture


def annotations_of(video: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each mission: colour and object as labels, the mission as a caption, and two questions."""
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
        yield here | {"labels": [step["color"], step["object"]], "captions": [step["mission"]]}
        color = f"what color is the {step['object']} at the end ?"
        yield here | {"question": color, "question_type": "color", "answer": step["color"]}
        kind = "what is at the end ?"
        yield here | {"question": kind, "question_type": "object", "answer": step["object"]}


if __name__ == "__main__":
    main()
