import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from vbert.tasks.metrics import (
    average_precision,
    mean_average_precision,
    ranks,
    retrieval_metrics,
    shares_by_kind,
    top_k,
)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_sklearns_with_ties_or_without(seed: int):
    chance = np.random.default_rng(seed)
    truth = chance.random((83, 7)) < 0.3
    scores = np.round(chance.random((83, 7)), 1 + seed % 2 * 5)  # one digit: many ties
    expected = [average_precision_score(truth[:, at], scores[:, at]) for at in range(7)]
    found = [average_precision(scores[:, at], truth[:, at]) for at in range(7)]
    np.testing.assert_allclose(found, expected)
    assert mean_average_precision(scores, truth) == pytest.approx(np.mean(expected))


def test_a_label_that_nothing_has_does_not_count():
    truth = np.array([[True, False], [False, False]])
    scores = np.array([[0.9, 0.2], [0.1, 0.3]])
    assert math.isnan(average_precision(scores[:, 1], truth[:, 1]))
    assert mean_average_precision(scores, truth) == 1.0
    assert math.isnan(mean_average_precision(scores, np.zeros_like(truth)))


def test_top_k_is_sklearns_where_there_are_no_ties():
    chance = np.random.default_rng(0)
    scores, truth = chance.random((211, 9)), chance.integers(9, size=211)
    places = ranks(scores, truth)
    for k in (1, 5):
        assert top_k(places, k) == pytest.approx(top_k_accuracy_score(truth, scores, k=k, labels=range(9)))


def test_ranks_count_ties_against_us():
    scores = np.array([[0.1, 0.9, 0.5], [0.4, 0.4, 0.4], [3.0, 2.0, 1.0]])
    assert ranks(scores, np.array([2, 0, 0])).tolist() == [2, 3, 1]


def test_a_score_that_is_no_number_is_the_worst():
    nan = float("nan")
    scores = np.array([[nan, nan, nan], [nan, 0.2, -9.0], [0.5, nan, 0.6], [-np.inf, nan, 0.0]])
    assert ranks(scores, np.array([0, 0, 0, 0])).tolist() == [3, 3, 2, 3]
    assert ranks(scores, np.array([2, 2, 2, 2])).tolist() == [3, 2, 1, 1]
    truth = np.array([True, False, False, False])
    # Four examples: the true one is NaN, and last, or shares the last place with another.
    assert average_precision(np.array([nan, 0.1, 0.2, 0.3]), truth) == pytest.approx(1 / 4)
    assert average_precision(np.array([nan, nan, 0.2, 0.3]), truth) == pytest.approx(1 / 4)
    assert average_precision(np.array([0.1, nan, nan, nan]), truth) == 1.0


def test_shares_in_all_and_by_kind():
    found = shares_by_kind([True, False, True, True], ["color", "color", None, "object"])
    assert found == {"accuracy": 0.75, "accuracy/color": 0.5, "accuracy/object": 1.0}


def test_retrieval_metrics_of_places():
    found = retrieval_metrics(np.array([1, 2, 6, 11]))
    assert found == {"R@1": 0.25, "R@5": 0.5, "R@10": 0.75, "median rank": 4.0}
