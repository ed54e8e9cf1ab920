"""How good a model and its baselines are, and how sure that is, by resampling the videos."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ROUNDING = 1e-12  # of shares and ranks: a difference of two that never changes has a deviation of 1e-17
Metrics = dict[str, dict[str, float]]  # method -> name -> value


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the method `model` and the baselines reach: scores["majority"]["top-1"]."""

    scores: Metrics = field(default_factory=dict)
    standard_errors: Metrics = field(default_factory=dict)
    """Of the scores."""
    margins: Metrics = field(default_factory=dict)
    """By how many standard errors of the difference the model is ahead of each baseline."""

    def lines(self) -> dict[str, str]:
        """What a job's summary says: a line a method, and one a baseline."""
        found = {
            method: ", ".join(f"{name} {self._value(method, name)}" for name in self.scores[method])
            for method in self.scores
        }
        return found | {
            f"ahead of {method}": ", ".join(f"{name} {value:.1f}" for name, value in values.items())
            + " standard errors"
            for method, values in self.margins.items()
        }

    def _value(self, method: str, name: str) -> str:
        error = self.standard_errors.get(method, {}).get(name)
        return f"{self.scores[method][name]:.3f}" + (f" ± {error:.3f}" if error is not None else "")


def compare(
    rows: Sequence[Any],
    video_ids: Sequence[str],
    metrics: Callable[[list[Any]], Metrics],
    *,
    num_resamples: int,
    seed: int = 0,
) -> Comparison:
    """`metrics` gives those of the method `model` and of the baselines for any list of `rows`.

    Standard errors are over samples of videos with replacement (the bootstrap, Efron 1979): what is asked
    about one video is not independent. A positive margin is ahead, also where less is more (median rank).
    What no sample changes has no standard error and no margin; with `num_resamples` 0 nothing has.
    """
    by_video: dict[str, list[Any]] = defaultdict(list)
    for row, video_id in zip(rows, video_ids, strict=True):
        by_video[video_id].append(row)
    groups = list(by_video.values())
    chance = np.random.default_rng(seed)
    scores = metrics(list(rows))
    drawn: list[Metrics] = []
    for _ in range(num_resamples):
        places = chance.integers(len(groups), size=len(groups))
        drawn.append(metrics([row for place in places for row in groups[place]]))
    if not drawn:
        return Comparison(scores=scores)
    errors: Metrics = {method: {} for method in scores}
    margins: Metrics = {method: {} for method in scores if method != "model"}
    for method, values in scores.items():
        for name, value in values.items():
            error = _spread([one[method].get(name, 0.0) for one in drawn])
            if error > 0:
                errors[method][name] = error
            if method == "model" or name not in scores["model"]:
                continue
            sign = -1 if "rank" in name else 1
            error = _spread([one["model"].get(name, 0.0) - one[method].get(name, 0.0) for one in drawn])
            if error > 0:
                margins[method][name] = sign * (scores["model"][name] - value) / error
    return Comparison(
        scores=scores,
        standard_errors={method: values for method, values in errors.items() if values},
        margins={method: values for method, values in margins.items() if values},
    )


def _spread(values: Sequence[float]) -> float:
    """The standard deviation; 0 of values that are equal but for rounding."""
    found = float(np.std(values, ddof=1))
    return found if found > ROUNDING else 0.0
