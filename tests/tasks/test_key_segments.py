import numpy as np
import pytest

from vbert.tasks.key_segments import choose, overlap_f1


def segments(*lengths: float, tokens: list[list[int]] | None = None) -> list[dict[str, object]]:
    """One after the other; each looks like nothing else unless told."""
    ends = np.cumsum(lengths)
    shown = tokens or [[number] for number in range(len(lengths))]
    return [
        {"start_seconds": end - length, "end_seconds": end, "visual_tokens": mine}
        for end, length, mine in zip(ends.tolist(), lengths, shown, strict=True)
    ]


def test_the_best_that_fit_are_chosen_in_order_of_time():
    assert choose(segments(10, 10, 10, 10), np.array([0.2, 0.9, 0.1, 0.95]), share=0.5) == [1, 3]


def test_what_does_not_fit_any_more_makes_room_for_a_shorter_one():
    assert choose(segments(10, 9, 1), np.array([0.9, 0.8, 0.1]), share=0.55) == [0, 2]


def test_a_summary_has_at_least_one_segment():
    assert choose(segments(50, 50), np.array([0.1, 0.2]), share=0.15) == [1]


def test_what_looks_like_a_chosen_one_is_worth_less():
    alike = segments(10, 10, 10, tokens=[[1, 1, 2], [1, 2, 1], [7]])
    assert choose(alike, np.array([0.9, 0.8, 0.5]), share=0.7) == [0, 2]
    apart = segments(10, 10, 10, tokens=[[1], [2], [7]])
    assert choose(apart, np.array([0.9, 0.8, 0.5]), share=0.7) == [0, 1]


def test_segments_without_clips_are_like_nothing():
    assert choose(segments(10, 10, tokens=[[], []]), np.array([0.5, 0.6]), share=1.0) == [0, 1]


def test_f1_of_the_time_that_two_summaries_share():
    parts = segments(10, 20, 30)
    assert overlap_f1(parts, [0, 1], [1, 2]) == pytest.approx(2 * 20 / (30 + 50))
    assert overlap_f1(parts, [0], [2]) == 0
    assert overlap_f1(parts, [1], [1]) == 1
