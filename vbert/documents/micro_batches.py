"""A worker's rows of a step in micro-batches of one size, whatever streams they come from."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from vbert.documents.sequences import IGNORED, NO_CLIP, Batch, random_generator

VECTORS = "vectors"  # of continuous features: the only array without a row for each row
# What an empty row holds; of everything else 0, which is padding to sequence_ids.
EMPTY = {
    **dict.fromkeys(("labels", "alignment_labels", "pair_labels"), IGNORED),
    **dict.fromkeys(("shown_clips", "wanted_clips"), NO_CLIP),
}


def num_micro_batches(num_rows: int, *, row_length: int, tokens_per_micro_batch: int) -> int:
    """The fewest for `num_rows` rows; a micro-batch has at least one row."""
    return -(-num_rows // max(1, tokens_per_micro_batch // row_length))


def micro_batches(
    batches: Mapping[int, Batch], *, count: int, rows_per_micro_batch: int, seed: int, step: int
) -> list[dict[str, np.ndarray]]:
    """The rows of some streams (`packed_rows`) in `count` micro-batches, as even as can be, each filled up
    with empty rows to `rows_per_micro_batch`.

    Each row gets a seed of its dropout, `dropout_seeds` int32 [num_rows], which hangs on the stream and not
    on where the row goes: micro-batches of another size, on another number of workers, drop the same units.
    Streams with vectors of continuous features come one at a time and are not cut.
    """
    seeded = [_with_seeds(batch, seed, step, stream) for stream, batch in sorted(batches.items())]
    if any(VECTORS in batch for batch in seeded):
        (whole,) = seeded
        assert count == 1, "masked vectors are told from the others of their stream"
    else:
        whole = {name: np.concatenate([batch[name] for batch in seeded]) for name in seeded[0]}
    bounds = np.linspace(0, len(whole["input_ids"]), count + 1).round().astype(int)
    return [
        {
            name: values if name == VECTORS else _filled_up(name, values[first:last], rows_per_micro_batch)
            for name, values in whole.items()
        }
        for first, last in pairwise(bounds.tolist())
    ]


def _with_seeds(batch: Batch, seed: int, step: int, stream: int) -> dict[str, np.ndarray]:
    chance = random_generator(seed, step, stream)
    seeds = chance.integers(2**31, size=len(batch["input_ids"]), dtype=np.int32)
    return {**batch, "dropout_seeds": seeds}


def _filled_up(name: str, rows: np.ndarray, num_rows: int) -> np.ndarray:
    filled = np.full((num_rows, *rows.shape[1:]), EMPTY.get(name, 0), rows.dtype)
    filled[: len(rows)] = rows
    return filled
