"""What the job costs as its input grows: seconds and memory against videos, length, table versions.

    python -m benchmarks.cost_curves                          # five minutes; draws docs/cost-curves.svg
    python -m benchmarks.cost_curves --most-videos 1000000    # and five more

Every point has a process of its own. The measure is the exponent k of cost ~ size^k between the two largest
sizes, what a size of nearly nothing costs taken off: 1 is linear. Goal: at most 1, and 1.1 with this noise.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from benchmarks.decode import FFMPEG, wheel_clip
from benchmarks.rerun import make_corpus, write_ledger
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id
from vbert.features.ledger import Ledger
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import VIDEOS

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "cost-curves.svg"

# One file from probe to features, in this process and on one thread, a segment at a time as an actor does it.
FEATURIZE = """
import sys
import torch
torch.set_num_threads(1)
from vbert.corpus.sources import list_corpus
from vbert.features.segment_rows import featurize_segments
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id
from vbert.features.ledger import DONE
from vbert.features.planning import plan_videos
from vbert.features.torch_featurizer import open_featurizer
config = FeaturizerConfig()
options = dict(clip_seconds=config.clip_seconds, segment_seconds=config.segment_seconds)
plan = plan_videos(list_corpus(sys.argv[1]), DONE.empty_table(), featurizer=featurizer_id(config), **options)
featurizer = open_featurizer(config, device="cpu")
for at in range(plan.num_rows):
    segments, _ = featurize_segments(plan.slice(at, 1), featurizer, config=config)
    assert segments["state"].to_pylist() == ["done"]
"""


class Cost(NamedTuple):
    """Of one process."""

    seconds: float
    megabytes: float


class Curve(NamedTuple):
    """What is done to inputs of which sizes."""

    title: str
    unit: str
    sizes: Sequence[int]
    measure: Callable[[Path, int], Cost]


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most-videos", type=int, default=100_000)
    parser.add_argument("--most-minutes", type=int, default=64)
    parser.add_argument("--most-versions", type=int, default=1000)
    options = parser.parse_args()
    curves = [
        Curve("rerun, nothing changed", "videos", powers(10, options.most_videos), rerun_cost),
        Curve("one video featurized", "minutes", powers(4, options.most_minutes), length_cost),
        Curve("ledger read, one commit", "versions", powers(10, options.most_versions), versions_cost),
    ]
    costs: list[list[Cost]] = []
    for curve in curves:
        print(f"| {curve.title}: {curve.unit} | seconds | peak MB |\n|---|---|---|")
        costs.append([])
        for size in curve.sizes:
            with tempfile.TemporaryDirectory() as folder:
                cost = curve.measure(Path(folder), size)
            costs[-1].append(cost)
            print(f"| {size:,} | {cost.seconds:.2f} | {cost.megabytes:,.0f} |", flush=True)
        growth = [exponent(curve.sizes, values) for values in zip(*costs[-1], strict=True)]
        print(f"| exponent | {growth[0]:.2f} | {growth[1]:.2f} |\n")
    draw(curves, costs)
    print(f"drawn to {PICTURE.relative_to(ROOT)}")


def powers(base: int, most: int) -> list[int]:
    """1, base, base^2 .. up to `most`, and `most`."""
    return [*(base**k for k in range(int(math.log(most - 0.5, base)) + 1)), most]


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """k of cost ~ size^k between the last two, without the first, which is the cost of starting."""
    before, last = (max(cost - costs[0], 1e-9) for cost in costs[-2:])
    return math.log(last / before) / math.log(sizes[-1] / sizes[-2])


def rerun_cost(folder: Path, num_videos: int) -> Cost:
    """The job as a user runs it."""
    make_corpus(folder / "corpus", num_videos)
    write_ledger(str(folder / "corpus"), folder / "tables")
    command = [sys.executable, "jobs/featurize.py", "--corpus", str(folder / "corpus")]
    return process_cost([*command, "--tables", str(folder / "tables")])


def length_cost(folder: Path, minutes: int) -> Cost:
    """Of a real clip, looped: H.264, 720p."""
    path = folder / "video.mp4"
    command = [FFMPEG, "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", str(wheel_clip()), "-an"]
    subprocess.run([*command, "-t", str(60 * minutes), "-c", "copy", str(path)], check=True)
    return process_cost([sys.executable, "-c", FEATURIZE, str(folder)])


def versions_cost(folder: Path, num_versions: int) -> Cost:
    """A ledger that grew by a video a commit, as a corpus of streams would have it."""
    table = Table(str(folder), VIDEOS)
    table.create()
    featurizer = featurizer_id(FeaturizerConfig())
    committer = Committer(table, partition=featurizer)
    for number in range(num_versions):
        committer.commit([table.write_file(ledger_row(f"video-{number}", featurizer))])
    return process_cost([sys.executable, "-m", "benchmarks.cost_curves", "--child", str(folder)])


def read_and_commit(folder: str) -> None:
    """What each run does with the ledger at its start, and at each commit."""
    featurizer = featurizer_id(FeaturizerConfig())
    Ledger(folder, featurizer=featurizer).listed_before(["video_id", "fingerprint", "status"])
    table = Table(folder, VIDEOS)
    committer = Committer(table, partition=featurizer)
    committer.commit([table.write_file(ledger_row("another", featurizer))])


def ledger_row(video_id: str, featurizer: str) -> pa.Table:
    """A row of VIDEOS, of a video that is done."""
    row = {"video_id": video_id, "featurizer": featurizer, "status": "ok"}
    return pa.Table.from_pylist([row], schema=VIDEOS.schema)


def process_cost(command: Sequence[str]) -> Cost:
    """From its start to its end."""
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"error: {' '.join(command[:3])} failed")
    return Cost(time.monotonic() - start, usage.ru_maxrss / 1024)


def draw(curves: Sequence[Curve], costs: Sequence[Sequence[Cost]]) -> None:
    """Time above memory, a column a curve, axes logarithmic; dashed: linear from the largest size down."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "vbert"  # the same figures make the same file
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(curves), figsize=(4 * len(curves), 6), sharex="col")
    for column, (curve, points) in enumerate(zip(curves, costs, strict=True)):
        for row, (values, what) in enumerate(zip(zip(*points, strict=True), ["s", "MB"], strict=True)):
            axis = axes[row, column]
            axis.loglog(curve.sizes, values, "o-", label="measured")
            axis.loglog(
                curve.sizes,
                [values[-1] * size / curve.sizes[-1] for size in curve.sizes],
                "--",
                label="linear",
            )
            axis.set_ylim(min(values) / 2, max(values) * 2)
            axis.set_ylabel(what)
            axis.grid(alpha=0.3, which="both")
        axes[0, column].set_title(curve.title)
        axes[1, column].set_xlabel(curve.unit)
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        read_and_commit(sys.argv[2])
    else:
        main()
