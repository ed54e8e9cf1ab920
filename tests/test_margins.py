import numpy as np
import pytest

from vbert.margins import Figures, margins


def shares(rows: list[bool]) -> Figures:
    """Of right answers; the baseline is right in half of the cases, whatever it is asked."""
    return {"model": {"accuracy": float(np.mean(rows))}, "chance": {"accuracy": 0.5}}


def test_of_independent_answers_it_is_the_textbooks_standard_error():
    rows = [number % 10 < 8 for number in range(400)]
    found = margins(rows, [str(number) for number in range(400)], shares, num_resamples=2000)
    expected = 0.3 / np.sqrt(0.8 * 0.2 / 400)  # p (1 - p) / n
    assert found["chance"]["accuracy"] == pytest.approx(expected, rel=0.06)


def test_answers_about_one_video_count_as_one():
    rows = [video % 10 < 8 for video in range(100) for _ in range(4)]
    videos = [str(video) for video in range(100) for _ in range(4)]
    found = margins(rows, videos, shares, num_resamples=2000)
    assert found["chance"]["accuracy"] == pytest.approx(0.3 / np.sqrt(0.8 * 0.2 / 100), rel=0.06)


def test_of_ranks_less_is_more():
    def figures(rows: list[float]) -> Figures:
        return {"model": {"median rank": float(np.median(rows))}, "chance": {"median rank": 50.0}}

    chance = np.random.default_rng(0)
    found = margins(list(chance.normal(3, 1, 60)), [str(n) for n in range(60)], figures, num_resamples=50)
    assert found["chance"]["median rank"] > 10


def test_a_difference_that_never_changes_has_no_standard_error():
    assert margins([True] * 5, list("abcde"), shares, num_resamples=20) == {}
