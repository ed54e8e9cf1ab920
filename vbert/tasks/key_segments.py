"""The segments of a video that make its summary: the best under a budget of time, and no two alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# A segment that looks like a chosen one loses this share of its score, times how alike they are.
REDUNDANCY_WEIGHT = 0.5


def choose(segments: Sequence[Mapping[str, Any]], scores: np.ndarray, *, share: float) -> list[int]:
    """Which segments make the summary, in order of time: at most `share` of the time of them all, and at
    least one.

    Greedily the best score that is left and still fits, a little less for what looks like a chosen one
    (maximal marginal relevance, Carbonell and Goldstein 1998): how alike is the cosine of two segments'
    counts of visual tokens.
    """
    seconds = durations(segments)
    left = share * seconds.sum()
    shown = _histograms([segment["visual_tokens"] for segment in segments])
    alike = np.zeros(len(segments))
    chosen: list[int] = []
    while len(chosen) < len(segments):
        worth = np.asarray(scores, np.float64) * (1 - REDUNDANCY_WEIGHT * alike)
        worth[[at for at in range(len(segments)) if at in chosen or seconds[at] > left]] = -np.inf
        if not chosen:  # a summary of nothing helps nobody
            worth = np.asarray(scores, np.float64)
        best = int(worth.argmax())
        if worth[best] == -np.inf:
            break
        chosen.append(best)
        left -= seconds[best]
        alike = np.maximum(alike, shown @ shown[best])
    return sorted(chosen)


def overlap_f1(segments: Sequence[Mapping[str, Any]], chosen: Sequence[int], wanted: Sequence[int]) -> float:
    """F1 of the time that two summaries share."""
    seconds = durations(segments)
    both = seconds[sorted(set(chosen) & set(wanted))].sum()
    return float(2 * both / (seconds[list(chosen)].sum() + seconds[list(wanted)].sum()))


def durations(segments: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Seconds float64 [num_segments]."""
    return np.array([segment["end_seconds"] - segment["start_seconds"] for segment in segments], np.float64)


def _histograms(tokens: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows of length 1: how often each visual token of the video is in each segment."""
    kinds, places = np.unique(
        np.concatenate([np.asarray(mine, np.int64) for mine in tokens]), return_inverse=True
    )
    owners = np.repeat(np.arange(len(tokens)), [len(mine) for mine in tokens])
    counts = np.zeros((len(tokens), len(kinds)))
    np.add.at(counts, (owners, places), 1)
    found: np.ndarray = counts / np.linalg.norm(counts, axis=1, keepdims=True).clip(1e-9)
    return found
