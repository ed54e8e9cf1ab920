from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.tiny import cooking, vocabulary
from vbert.documents.data_streams import Run, cut_runs, windows_of_epoch
from vbert.documents.sequences import SequenceConfig
from vbert.documents.shuffle_windows import ShuffleWindowReader
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS

NUM_VIDEOS = 150


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """150 documents in two files, one of more than a row group."""
    found = Table(str(tmp_path_factory.mktemp("tables")), DOCUMENTS)
    found.create()
    rows = [cooking(number) for number in range(NUM_VIDEOS)]
    files = [
        found.write_file(pa.Table.from_pylist(part, schema=DOCUMENTS.schema))
        for part in (rows[:140], rows[140:])
    ]
    Committer(found, partition=rows[0]["vocabulary"]).commit(files)
    return found


def reader(table: Table, **changes: object) -> ShuffleWindowReader:
    options = {
        "seed": 0,
        "rows_per_batch": 4,
        "share_of_videos": 1.0,
        "validation_share": 0.0,
        "held_out": frozenset[str](),
    }
    sequences = SequenceConfig(row_length=64)
    return ShuffleWindowReader(
        table=table, vocabulary=vocabulary(), sequences=sequences, **(options | changes)
    )  # type: ignore[arg-type]


def files_of(table: Table) -> dict[str, int]:
    return table.files(partition="0123456789abcdef")


def test_rows_are_read_by_number_across_row_groups(table: Table):
    (path,) = (path for path, count in files_of(table).items() if count == 140)
    everything = [name for part in table.row_groups(path) for name in part["video_id"].to_pylist()]
    wanted = [0, 63, 64, 65, 127, 139]
    assert table.read_rows(path, wanted)["video_id"].to_pylist() == [everything[at] for at in wanted]


def test_a_window_reads_its_runs_and_nothing_else(table: Table):
    runs = cut_runs(files_of(table))
    (windows,) = windows_of_epoch(runs, seed=0, epoch=0, num_streams=1)
    found = [row["video_id"] for window in windows for row in reader(table).documents(window.runs)]
    assert sorted(found) == sorted(f"cooking-{number}" for number in range(NUM_VIDEOS))
    path = min(files_of(table))
    assert len(reader(table).documents([Run(path, 2, 3), Run(path, 7, 1)])) == 4


def test_a_version_is_pinned(table: Table, tmp_path: Path):
    copy = Table(str(tmp_path), DOCUMENTS)
    copy.create()
    row = cooking(0)
    for number in range(2):
        file = copy.write_file(
            pa.Table.from_pylist([row | {"video_id": f"v{number}"}], schema=DOCUMENTS.schema)
        )
        Committer(copy, partition=row["vocabulary"]).commit([file])
    assert sum(copy.files(partition=row["vocabulary"], version=copy.version() - 1).values()) == 1
    assert sum(copy.files(partition=row["vocabulary"]).values()) == 2


def test_validation_and_training_share_no_video(table: Table):
    found = reader(table, validation_share=0.2, held_out=frozenset({"cooking-3"}), share_of_videos=0.5)
    names = [f"cooking-{number}" for number in range(NUM_VIDEOS)]
    validation = {name for name in names if found.is_validation(name)}
    training = {name for name in names if found.is_training(name)}
    assert "cooking-3" in validation
    assert not validation & training
    assert len(validation) == pytest.approx(30, abs=15)
    assert len(training) == pytest.approx(60, abs=20)


def test_micro_batches_hold_only_training_videos(table: Table):
    (windows,) = windows_of_epoch(cut_runs(files_of(table)), seed=0, epoch=0, num_streams=1)
    nobody = reader(table, held_out=frozenset(f"cooking-{number}" for number in range(NUM_VIDEOS)))
    assert nobody.micro_batches(windows[0]) == []
    batches = reader(table).micro_batches(windows[0])
    heights = {len(batch["input_ids"]) for batch in batches}
    assert heights <= {3, 4}
    assert len(batches) > 3


def test_the_same_window_is_the_same_wherever_it_is_built(table: Table):
    (windows,) = windows_of_epoch(cut_runs(files_of(table)), seed=0, epoch=1, num_streams=1)
    one, two = (reader(table).micro_batches(windows[0]) for _ in range(2))
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(one, two, strict=True) for name in a)
