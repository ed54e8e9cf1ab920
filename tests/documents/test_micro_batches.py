import numpy as np
import pytest

from tests.tiny import cooking, vocabulary
from vbert.documents.micro_batches import micro_batches, num_micro_batches
from vbert.documents.packing import packed_rows
from vbert.documents.sequences import (
    IGNORED,
    Batch,
    SequenceConfig,
    random_generator,
    sequences_of_documents,
)


def two_streams() -> dict[int, Batch]:
    """Streams 2 and 5, of five rows each."""
    words = vocabulary()
    documents = [cooking(number) for number in range(40)]
    found = sequences_of_documents(documents, words, SequenceConfig(row_length=64), seed=0, epoch=0)
    rows = packed_rows(found, words, row_length=64, chance=random_generator(0))
    return {
        stream: {name: values[first : first + 5] for name, values in rows.items()}
        for stream, first in ((2, 0), (5, 5))
    }


def test_all_rows_of_all_streams_come_once_and_empty_ones_fill_up():
    both = two_streams()
    found = micro_batches(both, count=3, rows_per_micro_batch=4, seed=7, step=3)
    assert [batch["labels"].shape for batch in found] == [(4, 64)] * 3
    is_full = [(batch["sequence_ids"] > 0).any(1) for batch in found]
    assert [int(rows.sum()) for rows in is_full] == [3, 4, 3]  # 10 rows as even as can be
    for name in both[2]:
        expected = np.concatenate([both[2][name], both[5][name]])
        kept = np.concatenate([batch[name][rows] for batch, rows in zip(found, is_full, strict=True)])
        assert np.array_equal(kept, expected), name
    for batch, rows in zip(found, is_full, strict=True):
        assert (batch["labels"][~rows] == IGNORED).all()
        assert (batch["alignment_labels"][~rows] == IGNORED).all()


def test_a_rows_dropout_hangs_on_its_stream_and_step_alone():
    both = two_streams()
    (together,) = micro_batches(both, count=1, rows_per_micro_batch=10, seed=7, step=3)
    alone = [
        micro_batches({stream: both[stream]}, count=1, rows_per_micro_batch=5, seed=7, step=3)[0]
        for stream in (2, 5)
    ]
    seeds = np.concatenate([batch["dropout_seeds"] for batch in alone])
    assert np.array_equal(together["dropout_seeds"], seeds)
    assert len(set(seeds.tolist())) == 10
    (later,) = micro_batches(both, count=1, rows_per_micro_batch=10, seed=7, step=4)
    assert not set(later["dropout_seeds"].tolist()) & set(seeds.tolist())


@pytest.mark.parametrize(("tokens", "count"), [(1, 12), (128, 6), (5 * 64, 3), (12 * 64, 1), (10**9, 1)])
def test_as_few_micro_batches_as_the_tokens_allow(tokens: int, count: int):
    assert num_micro_batches(12, row_length=64, tokens_per_micro_batch=tokens) == count
