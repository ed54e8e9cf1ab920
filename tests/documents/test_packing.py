import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbert.documents.packing import pack


def test_a_hand_packed_example():
    # Longest first, each where it leaves the least room: 7; 6; 4 beside 6; 3 beside 7.
    assert pack([3, 7, 4, 6], row_length=10) == [[1, 0], [3, 2]]


@given(st.lists(st.integers(1, 64), max_size=200))
def test_every_sequence_is_in_one_row_and_no_row_is_too_long(lengths: list[int]):
    rows = pack(lengths, row_length=64)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 64 for row in rows)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=200))
def test_rows_are_as_few_as_best_fit_promises(lengths: list[int]):
    fewest = -(-sum(lengths) // 64)  # no packing can do with less
    largest = sum(length > 32 for length in lengths)  # no two of these share a row
    assert len(pack(lengths, row_length=64)) <= 11 / 9 * max(fewest, largest) * 9 / 8 + 1


def test_many_short_sequences_leave_little_room():
    lengths = np.random.default_rng(0).integers(5, 60, 2000).tolist()
    rows = pack(lengths, row_length=256)
    assert sum(lengths) / (256 * len(rows)) > 0.99


def test_a_sequence_longer_than_a_row_is_our_own_mistake():
    with pytest.raises(AssertionError, match="fits no row"):
        pack([11], row_length=10)
