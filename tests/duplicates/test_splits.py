"""Copies planted across splits end up on one side."""

from pathlib import Path

import pyarrow as pa

from tests.table_rows import DIM
from tests.tiny import vocabulary
from vbert.documents.data_streams import in_share
from vbert.documents.sequences import SequenceConfig
from vbert.documents.shuffle_windows import ShuffleWindowReader
from vbert.duplicates.splits import kept_ids, on_one_side, with_copies
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, DUPLICATES

NAMES = [f"v{number:02}" for number in range(80)]


def test_videos_of_one_cluster_are_trained_on_or_validated_on_together(tmp_path: Path):
    share = 0.3
    inside = [name for name in NAMES if in_share("validation", name, share)]
    outside = [name for name in NAMES if name not in inside]
    # The kept one would be trained on and its copies not, and the other way round; and a held-out copy.
    kept = {inside[0]: outside[0], inside[1]: outside[0], outside[1]: inside[2], outside[2]: outside[3]}
    rows = [
        {"video_id": name, "featurizer": "f-1", "kept_id": kept.get(name, name), "num_clips": DIM}
        for name in NAMES
    ]
    table = Table(str(tmp_path), DUPLICATES)
    table.create()
    file = table.write_file(pa.Table.from_pylist(rows, schema=DUPLICATES.schema))
    Committer(table, partition="f-1").commit([file])
    assert kept_ids(str(tmp_path), "f-1", version=table.version()) == kept

    reader = ShuffleWindowReader(
        table=Table(str(tmp_path), DOCUMENTS),
        vocabulary=vocabulary(),
        sequences=SequenceConfig(),
        seed=0,
        rows_per_batch=4,
        share_of_videos=1.0,
        validation_share=share,
        held_out=with_copies({outside[2]}, kept),
        kept=kept,
    )
    assert [reader.is_training(name) for name in (outside[0], inside[0], inside[1])] == [True] * 3
    assert [reader.is_validation(name) for name in (inside[2], outside[1])] == [True] * 2
    assert [reader.is_training(name) for name in (outside[2], outside[3])] == [False] * 2
    changed = {*kept, *kept.values()}
    for name in NAMES:
        assert reader.is_training(name) != reader.is_validation(name)
        if name not in changed:
            assert reader.is_validation(name) == (name in inside)


def test_annotations_of_copies_stay_in_the_last_of_their_splits_alone():
    annotations = pa.table(
        {
            "video_id": ["a", "copy-of-a", "copy-of-b", "b", "b", "c"],
            "split": ["train", "test", "train", "validation", "validation", "train"],
        }
    )
    found = on_one_side(annotations, {"copy-of-a": "a", "copy-of-b": "b"})
    assert found["video_id"].to_pylist() == ["copy-of-a", "b", "b", "c"]
    assert on_one_side(annotations, {}).equals(annotations)
