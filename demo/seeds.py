"""Several seeds: their folders, and of their figures the mean and how far chance alone may carry it."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path


def folder_of_seed(output: Path, seed: int, *, shared: Sequence[str]) -> Path:
    """Where a seed's models lie, beside links to what all seeds share."""
    here = output / f"seed-{seed}"
    here.mkdir(exist_ok=True)
    for made in shared:
        if not (here / made).exists():
            (here / made).symlink_to(Path("..") / made)
    return here


def standard_error(values: Sequence[float]) -> float:
    """Of the mean: the seeds' standard deviation over the root of their number; NaN of one."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def shown(values: Sequence[float]) -> str:
    """`0.62 ± 0.07`, of one seed `0.62`, of none nothing."""
    if not values:
        return ""
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {standard_error(values):.2f}"


def per_cent(values: Sequence[float]) -> str:
    """`62 % ± 7`, of one seed `62 %`."""
    mean = f"{100 * statistics.mean(values):.0f} %"
    return mean if len(values) == 1 else f"{mean} ± {100 * standard_error(values):.0f}"
