"""Figures of several seeds: their mean and its standard error, how far chance alone may carry it."""

import math
import statistics
from collections.abc import Sequence


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
