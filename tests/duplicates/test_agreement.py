"""Copies of made-up clips: where they agree is known."""

import numpy as np
import pytest

from vbert.duplicates.agreement import agreement_of, on_grid
from vbert.duplicates.clusters import Link, Member, clusters_of
from vbert.duplicates.signatures import NUM_KEYS, least_keys

DIM = 64


def clips(seed: int, count: int = 40) -> np.ndarray:
    """Features of a video whose clips follow from those before, and that are all positive."""
    chance = np.random.default_rng(seed)
    scene = chance.random((count // 4 + 1, DIM)).repeat(4, axis=0)[:count]
    return (scene + 0.1 * chance.random((count, DIM))).astype(np.float32)


def noisy(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """As encoding again makes them: another scale and a little noise."""
    chance = np.random.default_rng(seed)
    return (1.1 * features + 0.05 * chance.random(features.shape)).astype(np.float32)


@pytest.mark.parametrize(("begin", "end"), [(0, 40), (10, 30), (33, 40)])
def test_a_copy_agrees_where_it_was_cut(begin: int, end: int):
    video = clips(1)
    found = agreement_of(video, noisy(video[begin:end]))
    assert (found.share, found.offset_clips, found.num_clips) == (1.0, begin, end - begin)
    other_way = agreement_of(noisy(video[begin:end]), video)
    assert (other_way.share, other_way.offset_clips) == (1.0, -begin)
    assert found.is_copy


def test_a_copy_on_a_grid_between_agrees_at_half_a_clip():
    video = clips(1)
    found = agreement_of(video, noisy((video[5:19] + video[6:20]) / 2))
    assert (found.share, found.offset_clips) == (1.0, 5.5)


def test_videos_of_other_clips_and_of_some_in_common_are_no_copies():
    one, other = clips(1), clips(2)
    assert not agreement_of(one, other).is_copy
    found = agreement_of(one, np.concatenate([other[:28], one[28:]]))
    assert found.share == pytest.approx(0.3)
    assert not found.is_copy
    assert not agreement_of(one, one[:2]).is_copy, "two clips may be chance"


def test_dropped_clips_leave_gaps_that_agree_with_nothing():
    video = clips(1, count=12)
    kept = np.array([0, 1, 2, 4, 5, 6, 8, 11])
    gaps = on_grid(video[kept], 1.5 * kept, clip_seconds=1.5)
    assert gaps.shape == (12, DIM)
    assert not gaps[[3, 7, 9, 10]].any()
    found = agreement_of(gaps, video)
    assert (found.offset_clips, found.num_clips) == (0.0, 8)


def test_a_signature_is_that_of_its_parts():
    keys = [np.arange(first, first + 100) for first in (0, 50)]
    whole = least_keys(np.concatenate(keys))
    np.testing.assert_array_equal(least_keys(np.concatenate(list(map(least_keys, keys)))), whole)
    assert len(whole) == len(set(whole.tolist())) == NUM_KEYS


def test_of_copies_of_one_length_that_with_the_greater_worth_is_kept():
    links = [Link(first="a", second="b", share=1.0, offset_seconds=0.0)]
    kept = clusters_of(links, {"a": (9, False, 1920), "b": (9, True, 640)})
    assert {name: member.kept_id for name, member in kept.items()} == {"a": "b", "b": "b"}
    equal = clusters_of(links, {"a": (9, True, 640), "b": (9, True, 640)})
    assert equal["b"].kept_id == "a"


def test_the_longest_of_a_cluster_is_kept_and_offsets_add_up():
    links = [
        Link(first="b", second="c", share=0.9, offset_seconds=6.0),  # c begins 6 s into b
        Link(first="a", second="c", share=0.8, offset_seconds=-1.5),  # and 1.5 s before a
    ]
    found = clusters_of(links, {"a": (5,), "b": (20,), "c": (10,), "d": (7,)})
    assert found == {
        "b": Member(cluster="a", kept_id="b", share=1.0, offset_seconds=0.0),
        "c": Member(cluster="a", kept_id="b", share=0.9, offset_seconds=6.0),
        "a": Member(cluster="a", kept_id="b", share=0.8, offset_seconds=7.5),
        "d": Member(cluster="d", kept_id="d", share=1.0, offset_seconds=0.0),
    }
