import numpy as np
import pytest

from vbert.tasks.margins import Comparison, Metrics, compare


def shares(rows: list[bool]) -> Metrics:
    """Of right answers; the baseline is right in half of the cases, whatever it is asked."""
    return {"model": {"accuracy": float(np.mean(rows))}, "chance": {"accuracy": 0.5}}


def test_of_independent_answers_it_is_the_textbooks_standard_error():
    rows = [number % 10 < 8 for number in range(400)]
    found = compare(rows, [str(number) for number in range(400)], shares, num_resamples=2000)
    error = np.sqrt(0.8 * 0.2 / 400)  # p (1 - p) / n
    assert found.scores["model"] == {"accuracy": 0.8}
    assert found.standard_errors == {"model": {"accuracy": pytest.approx(error, rel=0.06)}}
    assert found.margins == {"chance": {"accuracy": pytest.approx(0.3 / error, rel=0.06)}}


def test_answers_about_one_video_count_as_one():
    rows = [video % 10 < 8 for video in range(100) for _ in range(4)]
    videos = [str(video) for video in range(100) for _ in range(4)]
    found = compare(rows, videos, shares, num_resamples=2000)
    assert found.margins["chance"]["accuracy"] == pytest.approx(0.3 / np.sqrt(0.8 * 0.2 / 100), rel=0.06)


def test_of_ranks_less_is_more():
    def metrics(rows: list[float]) -> Metrics:
        return {"model": {"median rank": float(np.median(rows))}, "chance": {"median rank": 50.0}}

    chance = np.random.default_rng(0)
    found = compare(list(chance.normal(3, 1, 60)), [str(n) for n in range(60)], metrics, num_resamples=50)
    assert found.margins["chance"]["median rank"] > 10


def test_a_difference_that_never_changes_has_no_standard_error():
    found = compare([True] * 5, list("abcde"), shares, num_resamples=20)
    assert found.margins == found.standard_errors == {}
    assert found.lines() == {"model": "accuracy 1.000", "chance": "accuracy 0.500"}


def test_rounding_is_no_standard_error():
    """A model that is ahead by a third, whatever it is asked, is so but for the last digit."""

    def metrics(rows: list[bool]) -> Metrics:
        share = float(np.mean(rows))
        return {"model": {"accuracy": share + 1 / 3}, "chance": {"accuracy": share}}

    found = compare([True, False, False] * 5, list("abcdefghijklmno"), metrics, num_resamples=100)
    assert found.margins == {}
    assert found.standard_errors["chance"]["accuracy"] > 0.05


def test_without_samples_there_are_scores_alone():
    found = compare([True, False], list("ab"), shares, num_resamples=0)
    assert found == Comparison(scores={"model": {"accuracy": 0.5}, "chance": {"accuracy": 0.5}})


def test_a_summary_says_how_sure_a_figure_is():
    found = Comparison(
        scores={"model": {"top-1": 0.8}, "majority": {"top-1": 0.25}},
        standard_errors={"model": {"top-1": 0.02}},
        margins={"majority": {"top-1": 27.5}},
    )
    assert found.lines() == {
        "model": "top-1 0.800 ± 0.020",
        "majority": "top-1 0.250",
        "ahead of majority": "top-1 27.5 standard errors",
    }
