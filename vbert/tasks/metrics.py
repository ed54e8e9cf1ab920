"""Metrics that tasks are judged by, as the field defines them."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def nan_last(scores: np.ndarray) -> np.ndarray:
    """Scores in which what is no number is the worst there is: a diverged model is right in nothing."""
    return np.where(np.isnan(scores), -np.inf, scores)


def ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Place of the true answer, 1 the best, int64 [n], of scores [n, num_answers]; those of equal score count
    as before it, and NaN is last."""
    scores = nan_last(scores)
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    better_or_equal: np.ndarray = (scores >= own).sum(axis=1)
    return better_or_equal


def top_k(places: np.ndarray, k: int) -> float:
    """Share of examples whose true answer is among the first k; of retrieval, recall at k."""
    return float((places <= k).mean())


def average_precision(scores: np.ndarray, is_true: np.ndarray) -> float:
    """Of one label over examples [n]: the mean of the precisions at the places of the true ones, best score
    first; equal scores share a place, and NaN is last. NaN where none is true."""
    if not is_true.any():
        return float("nan")
    scores = nan_last(scores)
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(is_true[order])
    # Of each run of equal scores.
    last = np.append(np.flatnonzero(sorted_scores[1:] != sorted_scores[:-1]), len(scores) - 1)
    precisions = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0)
    return float((precisions * gained).sum() / hits[-1])


def mean_average_precision(scores: np.ndarray, is_true: np.ndarray) -> float:
    """Over the labels that some example has; scores and truth [n, num_labels]."""
    found = [average_precision(scores[:, at], is_true[:, at]) for at in range(scores.shape[1])]
    return float(np.nanmean(found)) if is_true.any() else float("nan")


def shares_by_kind(is_right: Sequence[bool], kinds: Sequence[str | None]) -> dict[str, float]:
    """The share of right answers in all, and of each kind that is named."""
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for right, kind in zip(is_right, kinds, strict=True):
        if kind is not None:
            by_kind[kind].append(right)
    shares = {f"accuracy/{kind}": float(np.mean(mine)) for kind, mine in sorted(by_kind.items())}
    return {"accuracy": float(np.mean(is_right)), **shares}


def retrieval_metrics(places: np.ndarray) -> dict[str, float]:
    """Recall at 1, 5 and 10 and the median rank."""
    return {**{f"R@{k}": top_k(places, k) for k in (1, 5, 10)}, "median rank": float(np.median(places))}
