"""What each part of the job costs a unit, measured here at two small sizes, in a process for each part.

    python -m benchmarks.part_costs    # two minutes; benchmarks/cluster_plan.py takes them further

A cost is a line: what a size of nothing costs, and what a unit more does.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LATENCY_MS = 30  # of a request to the simulated bucket; waiting is not measured
CLIPS_PER_SEGMENT = 40
SEGMENTS_PER_FILE = 16  # as featurize writes them (featurize_flow.MAX_SEGMENTS_PER_FILE)
NUM_COMMITS = 5  # of the work "commit"

# The two sizes of each work of benchmarks/part_work.py, in its unit.
SIZES = {
    "compare": (20_000, 200_000),  # videos
    "probe": (64, 256),  # videos
    "decode": (60, 180),  # seconds of video
    "backbone": (20, 100),  # clips
    "commit": (1_000, 20_000),  # files that the table names
    "checkpoint": (1_000, 20_000),  # the same
    "join": (4, 16),  # files
    "documents": (1_024, 4_096),  # videos
    "videos held": (65_536, 524_288),  # videos
    "order": (1_048_576, 4_194_304),  # documents
    "choose": (100_000, 400_000),  # documents
}


class Line(NamedTuple):
    """A cost by size: `fixed + slope x size`."""

    fixed: float
    slope: float

    def at(self, size: float) -> float:
        """The cost of a size."""
        return self.fixed + self.slope * size


class Cost(NamedTuple):
    """Lines of one measure."""

    seconds: Line
    memory_bytes: Line
    """Of the process, beyond what it had before."""
    made_bytes: Line


def measured() -> dict[str, Cost]:
    """The costs of all parts, by the names of SIZES; prints a line of each."""
    print("| | CPU seconds | a unit | bytes of memory a unit | bytes made a unit |")
    print("|---|---|---|---|---|", flush=True)
    costs = {}
    for name, sizes in SIZES.items():
        costs[name] = cost = lines_through(sizes, costs_of(name, sizes))
        slopes = f"{cost.seconds.slope:.3g} | {cost.memory_bytes.slope:,.0f} | {cost.made_bytes.slope:,.0f}"
        print(f"| {name} | {cost.seconds.fixed:.2f} | {slopes} |", flush=True)
    return costs


def costs_of(name: str, sizes: Sequence[int]) -> list[list[float]]:
    """For each size CPU seconds, bytes of memory, bytes made."""
    command = [sys.executable, "-m", "benchmarks.part_work", name, *map(str, sizes)]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [[float(word) for word in line.split()] for line in said.splitlines()[-len(sizes) :]]


def lines_through(sizes: Sequence[float], costs: Sequence[Sequence[float]]) -> Cost:
    """The lines through two costs of three kinds; nothing gets cheaper as it grows, and noise may say so."""
    (small, large), lines = sizes, []
    for cost, larger_cost in zip(*costs, strict=True):
        slope = max(0.0, (larger_cost - cost) / (large - small))
        lines.append(Line(max(0.0, cost - slope * small), slope))
    return Cost(*lines)


if __name__ == "__main__":
    measured()
