"""Render narrated cooking videos: scenes with a known verb and object, and a WebVTT that says them.

    python -m demo.render_corpus --output demo-output/corpus --num-videos 24

Some pairs of verb and object are held out: no training video shows or says them. manifest.csv says which
videos are held out, and what happens when.
"""

import argparse
import csv
import json
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import av
import numpy as np

from demo.foods import OBJECTS
from demo.scenes import HEIGHT, VERBS, WIDTH, Scene

FPS = 12
STEPS_A_VIDEO = (2, 4)
SECONDS_A_STEP = (6.0, 9.0)
VERSION = 2  # raise it when the same seed gives another video: old ones are rendered again then

# One pair of every verb, on objects of all kinds: a tenth of the 80 pairs.
HELD_OUT = {(verb, OBJECTS[(3 * number + 1) % len(OBJECTS)]) for number, verb in enumerate(VERBS)}
HELD_OUT_SHARE = 0.2  # of the videos; each shows at least one pair that is held out
TRAINING_PAIRS = sorted(set(product(VERBS, OBJECTS)) - HELD_OUT)

GREETINGS = (
    "Welcome back to my kitchen.",
    "Hello everyone, today we are cooking again.",
    "Hi, thanks for watching.",
    "This one is a family recipe.",
)
TEMPLATES = (
    "Now let me show you how to {verb} the {object}.",
    "First we {verb} the {object}.",
    "Go ahead and {verb} the {object}.",
    "You want to {verb} this {object} for a minute.",
    "Next I am going to {verb} one {object}.",
    "It is time to {verb} the {object}.",
)
FILLERS = (
    "Take your time here.",
    "That looks good.",
    "Do not worry if it is not perfect.",
    "Smells great already.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What happens between two times, in seconds."""

    start: float
    end: float
    verb: str
    object: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """A video before it is drawn."""

    name: str
    split: str
    steps: list[Step]
    captions: list[tuple[float, float, str]]


def main() -> None:
    """Parse, render, say where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the videos and manifest.csv")
    parser.add_argument("--num-videos", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-workers", type=int, default=None, help="processes; default: one a core")
    options = parser.parse_args()
    num_new = render_corpus(
        options.output, num_videos=options.num_videos, seed=options.seed, num_workers=options.num_workers
    )
    print(f"{options.num_videos} videos in {options.output}, {num_new} of them new")


def render_corpus(output: Path, *, num_videos: int, seed: int, num_workers: int | None) -> int:
    """Write videos, transcripts and manifest.csv; what is there already stays as it is. How many are new."""
    output.mkdir(parents=True, exist_ok=True)
    scripts = [write_script(number, seed=seed) for number in range(num_videos)]
    with ProcessPoolExecutor(num_workers) as workers:
        num_new = sum(workers.map(partial(render_video, output), scripts))
    with (output / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "transcript", "video_id", "split", "steps"])
        for script in scripts:
            steps = json.dumps([asdict(step) for step in script.steps])
            rows.writerow([f"{script.name}.mp4", f"{script.name}.vtt", script.name, script.split, steps])
    write_heldout(output / "heldout.csv", scripts)
    return num_new


def write_heldout(path: Path, scripts: Sequence[Script]) -> None:
    """The steps of the videos that are held out, as evaluate_zero_shot and pretrain --held-out want them."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video_id", "start_seconds", "end_seconds", "verb", "object"])
        for script in scripts:
            if script.split == "heldout":
                rows.writerows(
                    [script.name, step.start, step.end, step.verb, step.object] for step in script.steps
                )


def write_script(number: int, *, seed: int) -> Script:
    """Who does what when, and what is said; the same for the same number and seed."""
    chance = random.Random(f"{VERSION} {seed} {number}")
    held_out = chance.random() < HELD_OUT_SHARE
    pairs = chance.sample(TRAINING_PAIRS, chance.randint(*STEPS_A_VIDEO))
    if held_out:
        pairs[chance.randrange(len(pairs))] = chance.choice(sorted(HELD_OUT))
    seconds = chance.uniform(2.5, 4.0)
    captions = [(0.3, seconds - 0.3, chance.choice(GREETINGS))]
    steps = []
    for verb, thing in pairs:
        end = seconds + chance.uniform(*SECONDS_A_STEP)
        step = Step(start=seconds, end=end, verb=verb, object=thing, seed=chance.randrange(2**31))
        steps.append(step)
        captions += _say(step, chance)
        seconds = end
    if chance.random() < 0.3:  # as automatic captions have it: small letters, no full stop
        captions = [
            (start, end, text.lower().replace(".", "").replace(",", "")) for start, end, text in captions
        ]
    split = "heldout" if held_out else "train"
    return Script(name=f"cooking-{seed}-{number:05}", split=split, steps=steps, captions=captions)


def _say(step: Step, chance: random.Random) -> list[tuple[float, float, str]]:
    """A sentence that names the step, a little off its time, and now and then one that does not."""
    text = chance.choice(TEMPLATES).format(verb=step.verb, object=step.object)
    start = step.start + chance.uniform(-0.2, 0.6)
    middle = step.start + 0.65 * (step.end - step.start)
    said = [(start, middle, text)]
    if chance.random() < 0.5:
        said.append((middle + 0.7, step.end - 0.4, chance.choice(FILLERS)))
    return said


def render_video(output: Path, script: Script) -> bool:
    """Draw and encode; the video gets its name when it is whole. False if it is there already."""
    video, transcript = output / f"{script.name}.mp4", output / f"{script.name}.vtt"
    said = webvtt(script.captions)
    if video.exists() and transcript.exists() and transcript.read_text() == said:
        return False
    video.unlink(missing_ok=True)  # another VERSION's: its times and words are others
    transcript.write_text(said)
    unfinished = video.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", FPS, options={"preset": "ultrafast", "crf": "26", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for index in range(round(script.steps[-1].end * FPS)):
            frame = av.VideoFrame.from_ndarray(_picture(script, index / FPS), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    unfinished.rename(video)
    return True


def _picture(script: Script, seconds: float) -> np.ndarray:
    """The step that is going on; before the first, its kitchen dimmed."""
    for step in script.steps:
        if seconds < step.end:
            scene = Scene(verb=step.verb, object=step.object, seed=step.seed)
            if seconds >= step.start:
                return scene.frame(seconds - step.start)
            return _dimmed_kitchen(scene)
    raise AssertionError(f"{seconds} s is after the last step")


@lru_cache(maxsize=1)
def _dimmed_kitchen(scene: Scene) -> np.ndarray:
    return (scene.kitchen() * 0.6).astype(np.uint8)


def webvtt(captions: list[tuple[float, float, str]]) -> str:
    """A WebVTT file of (start, end, text), in seconds."""
    cues = [f"{_clock(start)} --> {_clock(end)}\n{text}\n" for start, end, text in captions]
    return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes):02}:{rest:06.3f}"


if __name__ == "__main__":
    main()
