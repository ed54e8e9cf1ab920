"""Packing: sequences of many lengths into rows of one length, so that next to no padding is paid for."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vbert.documents.sequences import IGNORED, Regime, TrainingSequence
from vbert.text.joint_vocabulary import JointVocabulary

# A micro-batch has so many places for pairs, that all workers' are of one shape: most pairs take more.
POSITIONS_A_PAIR = 16


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


def packed_rows(
    sequences: Sequence[TrainingSequence],
    vocabulary: JointVocabulary,
    *,
    row_length: int,
    chance: np.random.Generator,
    with_pairs: bool = False,
) -> dict[str, np.ndarray]:
    """All sequences in rows of one length, shuffled: int32 [num_rows, row_length] of each of

    input_ids, labels, token_type_ids, position_ids (from 0 in each sequence), sequence_ids (from 1 in each
    row; 0 is padding), regimes (see Regime), alignment_labels (at the [CLS] of a joint sequence, else -100)
    and, `with_pairs`, pair_labels: a pair's number at the [CLS] of its text and of its video, the row's next
    sequence, of at most row_length / POSITIONS_A_PAIR pairs of a row, else -100.
    """
    lengths = [len(sequence.input_ids) for sequence in sequences]
    together = _together(sequences)
    rows = [
        [index for unit in row for index in together[unit]]
        for row in pack([sum(lengths[index] for index in unit) for unit in together], row_length=row_length)
    ]
    chance.shuffle(rows)
    shape = (len(rows), row_length)
    batch = {
        "input_ids": np.full(shape, vocabulary.pad_id, np.int32),
        "labels": np.full(shape, IGNORED, np.int32),
        "token_type_ids": np.zeros(shape, np.int32),
        "position_ids": np.zeros(shape, np.int32),
        "sequence_ids": np.zeros(shape, np.int32),
        "regimes": np.zeros(shape, np.int32),
        "alignment_labels": np.full(shape, IGNORED, np.int32),
        **({"pair_labels": np.full(shape, IGNORED, np.int32)} if with_pairs else {}),
    }
    for index, row, count, positions in places(rows, lengths):
        sequence, here = sequences[index], (row, positions)
        batch["input_ids"][here] = sequence.input_ids
        batch["labels"][here] = sequence.labels
        batch["token_type_ids"][here] = sequence.token_types
        batch["position_ids"][here] = np.arange(lengths[index])
        batch["sequence_ids"][here] = 1 + count
        batch["regimes"][here] = sequence.regime
        batch["alignment_labels"][row, positions.start] = sequence.alignment
        if with_pairs:
            batch["pair_labels"][row, positions.start] = sequence.pair
    if with_pairs:
        _drop_pairs(batch["pair_labels"], at_most=row_length // POSITIONS_A_PAIR)
    return batch


def _together(sequences: Sequence[TrainingSequence]) -> list[list[int]]:
    """Indices of what goes into one row: a sequence, or a text and its video."""
    found: list[list[int]] = []
    for index, sequence in enumerate(sequences):
        if sequence.pair != IGNORED and sequence.regime == Regime.VIDEO:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def _drop_pairs(labels: np.ndarray, *, at_most: int) -> None:
    """Have each row keep the labels of its first pairs."""
    is_paired = labels != IGNORED
    labels[is_paired & (np.cumsum(is_paired, axis=1) > 2 * at_most)] = IGNORED
