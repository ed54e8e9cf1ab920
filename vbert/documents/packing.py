"""Packing: sequences of many lengths into rows of one length, so that next to no padding is paid for."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple


def pack(lengths: Sequence[int], *, row_length: int) -> list[list[int]]:
    """Which sequences share a row: lists of indices into `lengths`, each of at most `row_length` in sum.

    Best fit, longest first: each sequence goes where it leaves the least room. No sequence is cut, so each
    must fit a row. At most 11/9 of the fewest possible rows, and one more (Johnson 1973); 97-100 % full in
    practice where sequences are many and short.
    """
    assert all(0 < length <= row_length for length in lengths), "a sequence that fits no row"
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (what is left, row), sorted
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        at = bisect_left(room, (length, 0))
        if at == len(room):
            rows.append([index])
            left, row = row_length - length, len(rows) - 1
        else:
            left, row = room.pop(at)
            rows[row].append(index)
            left -= length
        insort(room, (left, row))
    return rows


class Place(NamedTuple):
    """Where a sequence goes."""

    sequence: int  # its index
    row: int
    number: int  # of the sequence in its row, from 0
    positions: slice


def places(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> Iterator[Place]:
    """Where each sequence of `pack`'s rows goes, in reading order."""
    for row, mine in enumerate(rows):
        at = 0
        for number, index in enumerate(mine):
            yield Place(index, row, number, slice(at, at + lengths[index]))
            at += lengths[index]
