"""Figures of the demos: what is said of several seeds, and where a run's own should fall."""

from pathlib import Path

import numpy as np
import pytest

from demo.expected import beside
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
