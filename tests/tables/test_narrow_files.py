"""Beside each file lie the columns that tell what it has, and whether that still holds."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.object_store import ObjectStore
from tests.table_rows import compact, make_old
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NARROW
from vbert.tables.schemas import DOCUMENTS, VIDEOS
from vbert.tables.vacuum import vacuum

COLUMNS = DOCUMENTS.narrow
IDS = {"columns": ["video_id"], "partition": "v-1"}


def documents(names: str) -> pa.Table:
    facts = {"vocabulary": "v-1", "fingerprint": "a", "visual_tokens": [1, 2]}
    rows = [dict.fromkeys(DOCUMENTS.schema.names) | facts | {"video_id": name} for name in names]
    return pa.Table.from_pylist(rows, schema=DOCUMENTS.schema)


def made(root: Path | str) -> Table:
    """Two files with two documents each."""
    table = Table(str(root), DOCUMENTS)
    table.create()
    committer = Committer(table, partition="v-1")
    for names in ("ac", "bd"):
        committer.commit([table.write_file(documents(names))])
    return table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return made(tmp_path)


def narrow_files(table: Table) -> list[str]:
    folder = Path(table.uri, NARROW)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def narrow_rows(table: Table) -> list[dict[str, Any]]:
    parts = table.parts(columns=COLUMNS, partition="v-1")
    return sorted(pa.concat_tables(parts).to_pylist(), key=lambda row: str(row["video_id"]))


EXPECTED = [
    {
        "video_id": name,
        "fingerprint": "a",
        "transcript_fingerprint": None,
        "exclude": None,
        "excluded_for": None,
    }
    for name in "abcd"
]


def test_narrow_columns_are_read_without_the_file(table: Table):
    for path in table.paths(partition="v-1"):
        Path(table.uri, path).unlink()
    assert narrow_rows(table) == EXPECTED
    assert table.read(**IDS, video_ids=["b"])["video_id"].to_pylist() == ["b"]


def test_a_file_of_an_earlier_release_has_none_and_is_read_itself(table: Table):
    for path in narrow_files(table):
        Path(table.uri, NARROW, path).unlink()
    assert narrow_rows(table) == EXPECTED
    assert table.read(**IDS, video_ids=["b"])["video_id"].to_pylist() == ["b"]


def test_what_is_rewritten_has_its_own(table: Table):
    path, other = table.paths(partition="v-1")
    left = table.rewrite_without(path, ["a", "b"], partition="v-1")
    assert left is not None
    compact(table, partition="v-1")
    (joined,) = table.paths(partition="v-1")
    assert narrow_files(table) == sorted([path, other, left.path, joined])
    beside = pq.read_table(Path(table.uri, NARROW, joined), partitioning=None)
    assert beside.to_pylist() == narrow_rows(table) == EXPECTED


def test_it_goes_with_its_file(table: Table):
    compact(table, partition="v-1")
    make_old(table, hours=200)
    assert len(vacuum(table, retention_hours=168)) == 2
    assert narrow_files(table) == table.paths(partition="v-1")


@pytest.mark.slow
def test_one_request_gets_all_of_a_file(bucket: str, store: ObjectStore):
    """Of documents what tells whether they hold, of the ledger also the rest, which is not wide."""
    table = made(bucket)
    ledger = Table(bucket, VIDEOS)
    ledger.create()
    rows = [dict.fromkeys(VIDEOS.schema.names) | {"video_id": name, "featurizer": "f-1"} for name in "abcd"]
    file = ledger.write_file(pa.Table.from_pylist(rows, schema=VIDEOS.schema))
    Committer(ledger, partition="f-1").commit([file])
    before = store.counts()
    assert narrow_rows(table) == EXPECTED
    for columns in (["video_id", "status"], ["video_id", "uri"]):
        (found,) = ledger.parts(columns=columns, partition="f-1")
        assert found.num_rows == 4
    after = store.counts()
    assert after["requests _narrow"] - before["requests _narrow"] == 3
    assert after["requests vocabulary=v-1"] - before["requests vocabulary=v-1"] == 2, "those"
    assert after["requests featurizer=f-1"] - before["requests featurizer=f-1"] == 2
