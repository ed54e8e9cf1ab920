"""Where the time of a small featurization goes: its parts, and their sum over Ray's own start and one task.

    python -m benchmarks.startup

Four videos of 6 s, EfficientNet-Lite0, a Ray cluster of the job's own. The first run makes the backbone's
graphs, the second has them, the third finds nothing to do. Goal: the second within 1.6 times the bare start.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS, NUM_VIDEOS = 6, 4

BARE = """
import ray
ray.init(address="local", include_dashboard=False, logging_level="ERROR")
print(ray.get(ray.remote(lambda: 1).remote()))
ray.shutdown()
"""

PARTS = {
    "backbone, first look": "vbert.distributed.featurize.BackboneGraphs",
    "start of Ray": "vbert.distributed.featurize_plan.connect",
    "backbone, graphs": "vbert.distributed.featurize.prepare_backbone",
    "actors, work, commits": "vbert.distributed.featurize._featurize_and_commit",
}
# The job as jobs/featurize.py runs it, with a clock around its parts.
TIMED = """
import json, sys, time
from importlib import import_module
from benchmarks.startup import PARTS
start = time.perf_counter()
parts = {}
import ray
from vbert.distributed import featurize as job
parts["imports"] = time.perf_counter() - start

def timed(name, function):
    def run(*arguments, **options):
        before = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            parts[name] = parts.get(name, 0.0) + time.perf_counter() - before
    return run

for name, place in PARTS.items():
    module, _, function = place.rpartition(".")
    there = import_module(module)
    setattr(there, function, timed(name, getattr(there, function)))
corpus, tables = sys.argv[1:]
job.featurize(job.FeaturizeConfig(corpus=corpus, tables=tables))
before = time.perf_counter()
ray.shutdown()
parts["shutdown"] = time.perf_counter() - before
total = time.perf_counter() - start
parts["listing, ledger, probing"] = total - sum(parts.values())
print(json.dumps(parts))
"""


def main() -> None:
    """Print a line for each part of three runs, and each sum as a ratio to the bare start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="the least of so many is printed")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name, "corpus")
        corpus.mkdir()
        write_videos(corpus)
        bare = min(seconds_of(BARE, cache=name)[0] for _ in range(repeats))
        print(f"bare start of Ray and one task: {bare:.1f} s")
        for title in ("first run", "with kept graphs"):
            runs = []
            for number in range(1 if title == "first run" else repeats):
                tables = Path(name, f"tables-{title}-{number}")
                runs.append(seconds_of(TIMED, corpus, tables, cache=name))
            report(title, *min(runs), bare=bare)
        report(
            "nothing to do",
            *min(seconds_of(TIMED, corpus, tables, cache=name) for _ in range(repeats)),
            bare=bare,
        )


def write_videos(folder: Path) -> None:
    """NUM_VIDEOS of SECONDS each, by the tests' own writer."""
    videos: Any = import_module("tests.videos")
    for number in range(NUM_VIDEOS):
        drawn = videos.Video(num_frames=SECONDS * 10, fps=Fraction(10))
        videos.write_video(folder / f"v{number}.mp4", drawn)


def seconds_of(script: str, *arguments: Path, cache: str) -> tuple[float, str]:
    """How long a process runs, and its last line."""
    environment = os.environ | {"XDG_CACHE_HOME": str(Path(cache, "cache")), "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"benchmarks.startup: a run failed:\n{done.stderr}")
    return time.perf_counter() - start, done.stdout.splitlines()[-1]


def report(title: str, seconds: float, line: str, *, bare: float) -> None:
    """The parts of a run, then all of it with the start of Python."""
    print(f"\n{title}: {seconds:.1f} s, {seconds / bare:.2f} times the bare start")
    for part, spent in json.loads(line).items():
        print(f"  {part:<26}{spent:6.1f} s")


if __name__ == "__main__":
    main()
