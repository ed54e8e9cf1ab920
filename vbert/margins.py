"""How sure a difference between a model and a baseline is, by resampling the videos."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Figures = dict[str, dict[str, float]]  # method -> name -> value


def margin_lines(ahead: Figures) -> dict[str, str]:
    """What a job's summary says of `margins`: a line a baseline."""
    return {
        f"ahead of {method}": ", ".join(f"{name} {value:.1f}" for name, value in values.items())
        + " standard errors"
        for method, values in ahead.items()
    }


def margins(
    rows: Sequence[Any],
    video_ids: Sequence[str],
    figures: Callable[[list[Any]], Figures],
    *,
    num_resamples: int,
    seed: int = 0,
) -> Figures:
    """Of each baseline and figure: by how many standard errors `model` is ahead.

    `figures` gives those of the method `model` and of the baselines for any list of `rows`. The standard
    error is that of the difference, over samples of videos with replacement (the bootstrap, Efron 1979): what
    is asked about one video is not independent. Positive is ahead, also where less is more (median rank).
    Left out is what no sample changes.
    """
    by_video: dict[str, list[Any]] = defaultdict(list)
    for row, video_id in zip(rows, video_ids, strict=True):
        by_video[video_id].append(row)
    groups = list(by_video.values())
    chance = np.random.default_rng(seed)
    drawn: list[Figures] = []
    for _ in range(num_resamples):
        places = chance.integers(len(groups), size=len(groups))
        drawn.append(figures([row for place in places for row in groups[place]]))
    whole = figures(list(rows))
    found: Figures = {}
    for baseline in set(whole) - {"model"}:
        for name in set(whole["model"]) & set(whole[baseline]):
            sign = -1 if "rank" in name else 1
            gains = [sign * (one["model"].get(name, 0.0) - one[baseline].get(name, 0.0)) for one in drawn]
            gain = sign * (whole["model"][name] - whole[baseline][name])
            spread = float(np.std(gains, ddof=1))
            if spread > 0:
                found.setdefault(baseline, {})[name] = gain / spread
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}
