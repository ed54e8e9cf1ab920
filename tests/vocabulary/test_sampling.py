"""The sample of clips: the same whoever draws it, and fair."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vbert.vocabulary.sampling import priorities, threshold_of


def clips(num_videos: int, clips_a_video: int) -> tuple[list[str], np.ndarray]:
    ids = [f"video {number}" for number in range(num_videos) for _ in range(clips_a_video)]
    return ids, np.tile(np.arange(clips_a_video) * 1.5, num_videos)


def test_a_priority_is_the_clips_own_whatever_comes_beside_it():
    ids, starts = clips(7, 11)
    whole = priorities(ids, starts, seed=3)
    backwards = priorities(ids[::-1], starts[::-1], seed=3)[::-1]
    in_parts = np.concatenate(
        [priorities(ids[:20], starts[:20], seed=3), priorities(ids[20:], starts[20:], seed=3)]
    )
    np.testing.assert_array_equal(whole, backwards)
    np.testing.assert_array_equal(whole, in_parts)
    assert len(np.unique(whole)) == 77
    assert not np.array_equal(whole, priorities(ids, starts, seed=4))


def test_priorities_are_uniform_over_videos_and_over_time():
    ids, starts = clips(200, 300)
    drawn = priorities(ids, starts, seed=0) < np.uint64(2**64 // 5)
    table = drawn.reshape(200, 300)
    # 60,000 draws with p = 0.2: one standard deviation of the mean is 0.0016, of a video's 0.023.
    assert abs(table.mean() - 0.2) < 0.007
    assert abs(table.mean(1).std() - 0.0231) < 0.005
    assert abs(table.mean(0).std() - 0.0283) < 0.006


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=5), st.integers(1, 12))
def test_the_threshold_of_parts_is_that_of_the_whole(parts: list[list[int]], size: int):
    lowest = [np.sort(np.array(part, np.uint64))[:size] for part in parts]
    every = sorted(value for part in parts for value in part)
    expected = every[size - 1] if len(every) >= size else 2**64 - 1
    assert threshold_of(lowest, size=size) == expected


def test_no_clip_at_all_is_no_threshold():
    assert priorities([], np.zeros(0), seed=0).shape == (0,)
    assert threshold_of([], size=3) == 2**64 - 1
