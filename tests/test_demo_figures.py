"""Figures of the demos: what is said of several seeds, and where a run's own should fall."""

import json
from pathlib import Path

import numpy as np
import pytest

from demo.expected import beside
from demo.grounded_table import finetuned_line, zero_shot_line
from demo.pooled_features import pool, read_tokens
from demo.seeds import per_cent, shown
from tests.cooking_tables import cooking_tables
from tests.tiny import cooking


def test_seeds_have_a_mean_and_its_standard_error():
    """0.5, 0.6 and 0.7 deviate by 0.1, and 0.1 over the root of 3 is 0.058."""
    assert shown([0.5, 0.6, 0.7]) == "0.60 ± 0.06"
    assert per_cent([0.5, 0.6, 0.7]) == "60 % ± 6"
    assert (shown([0.5]), per_cent([0.5]), shown([])) == ("0.50", "50 %", "")


def test_a_figure_outside_of_its_range_is_pointed_out():
    """Two standard deviations of three seeds whose mean has an error of 7 points are 24 points."""
    inside, outside = (
        list(beside({"verb top-1": 0.99, "object top-1": share, "object top-5": 0.9}))
        for share in (0.39, 0.37)
    )
    assert not [line for line in inside if "OUTSIDE" in line]
    assert [line.split()[0] for line in outside if "OUTSIDE" in line] == ["object"]


def test_pooled_tokens_are_the_share_of_each(tmp_path: Path):
    cooking_tables(str(tmp_path), num_videos=3)
    video = read_tokens(tmp_path)["cooking-2"]
    found = pool(video, {"start_seconds": 6.0, "end_seconds": 12.0})
    assert found is not None
    tokens = cooking(2)["visual_tokens"][4:8]  # clips of 1.5 s
    assert {int(at): float(found[at]) for at in np.flatnonzero(found)} == pytest.approx(
        {token: tokens.count(token) / 4 for token in tokens}
    )


def write(path: Path, scores: dict[str, dict[str, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"scores": scores, "standard_errors": {}, "margins": {}}))


def scores_of(**methods: float) -> dict[str, dict[str, float]]:
    """`cross_modal` is the name cross-modal, other lines are spaces."""
    names = {name: name.replace("cross_", "cross-").replace("_", " ") for name in methods}
    return {names[name]: {"verb top-1": share, "mAP": share} for name, share in methods.items()}


def test_a_table_of_seeds_has_each_figure_in_its_column(tmp_path: Path):
    seeds = [tmp_path / f"seed-{number}" for number in range(2)]
    for seed, share in zip(seeds, (0.3, 0.5), strict=True):
        methods = {"language_prior": share / 2, "frequency": 0.2}
        write(seed / "run" / "zero-shot.json", scores_of(cross_modal=share, **methods))
        write(seed / "run-features" / "zero-shot.json", scores_of(cross_modal=share + 0.4, **methods))
        for kind, more in (("tokens", 0), ("fused", 0.2)):
            found = scores_of(model=share + more, majority=0.11)
            write(seed / "tasks" / f"classification-{kind}" / "test" / "metrics.json", found)
    for of, share in (("tokens", 0.6), ("features", 0.9)):
        write(tmp_path / "tasks" / f"color-{of}" / "test" / "metrics.json", {"model": {"top-1": share}})
        write(
            tmp_path / "tasks" / f"annotations-{of}" / "test" / "metrics.json", {"model": {"mAP": share / 3}}
        )
    assert zero_shot_line(tmp_path, seeds, asked="zero-shot", kind="verb") == (
        "| zero shot: color | top-1 | 0.40 ± 0.10 | 0.80 ± 0.10 |  | 0.60 | 0.90 "
        "| language prior 0.20 ± 0.05, word frequency 0.20 |"
    )
    assert finetuned_line(tmp_path, seeds, "classification") == (
        "| classification | mAP | 0.40 ± 0.10 |  | 0.60 ± 0.10 | 0.20 | 0.30 | majority 0.11 |"
    )
