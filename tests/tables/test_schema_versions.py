"""Tables of earlier releases are read and written by this one; those of a later one are refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.table_rows import compact, feature_rows, keys_of
from vbert.errors import UserError
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.reading import read_documents
from vbert.tables.schemas import FEATURES, SIGNALS, TABLES, TRANSCRIPTS, VIDEOS, TableSchema

# Written by the release before tables had a version (commit 392a1cd): features of p and q, of which q was
# replaced; r has failed.
SCHEMA_1 = Path(__file__).with_name("data") / "schema_1"


@pytest.fixture
def tables(tmp_path: Path) -> str:
    shutil.copytree(SCHEMA_1, tmp_path / "tables")
    return str(tmp_path / "tables")


def later(layout: TableSchema) -> TableSchema:
    """The same in a release to come, with one more column."""
    schema = layout.schema.append(pa.field("mood", pa.string()))
    return replace(layout, schema=schema, added={**layout.added, "mood": layout.version + 1})


def test_an_old_table_is_read_as_it_is(tables: str):
    before = {path: path.stat().st_mtime_ns for path in Path(tables).rglob("*")}
    ledger = Table(tables, VIDEOS).read(columns=VIDEOS.schema.names, partition="f-1").sort_by("video_id")
    assert ledger.schema == VIDEOS.schema
    assert ledger["status"].to_pylist() == ["ok", "ok", "failed"]
    assert ledger["gone_since"].to_pylist() == [None] * 3
    q = [("q", index, "b") for index in range(3)]
    assert keys_of(Table(tables, FEATURES)) == [("p", 0, "a"), ("p", 1, "a"), ("p", 2, "a"), *q]
    signals = Table(tables, FEATURES).read(columns=SIGNALS, partition="f-1").to_pylist()
    assert signals == [dict.fromkeys(SIGNALS)] * 6
    assert read_documents(tables)["video_id"].to_pylist() == ["p", "q"]
    spoken = Table(tables, TRANSCRIPTS).read(columns=["sentences"], partition="pocketsphinx-1")
    assert spoken["sentences"].to_pylist() == [["Peel it."]]
    assert {path: path.stat().st_mtime_ns for path in Path(tables).rglob("*")} == before, "nothing is written"


def test_a_writer_gives_an_old_table_the_new_columns(tables: str):
    table = Table(tables, VIDEOS)
    table.create()
    rows = table.read(columns=VIDEOS.schema.names, partition="f-1", video_ids=["p"]).to_pylist()
    file = table.write_file(pa.Table.from_pylist([rows[0] | {"gone_since": 5.0}], schema=VIDEOS.schema))
    Committer(table, partition="f-1").commit([file], drop=["p"])
    again = Table(tables, VIDEOS)
    assert "gone_since" in {field.name for field in again.open().schema().fields}
    found = again.read(columns=["video_id", "gone_since", "status"], partition="f-1").sort_by("video_id")
    assert found["gone_since"].to_pylist() == [5.0, None, None]
    assert found["status"].to_pylist() == ["ok", "ok", "failed"]
    assert again.read(columns=["gone_since"], partition="f-1", version=1)[0].to_pylist() == [None] * 3
    version = again.version()
    again.create()
    assert again.version() == version, "once"


def test_segments_with_and_without_signals_are_joined(tables: str):
    table = Table(tables, FEATURES)
    table.create()
    Committer(table, partition="f-1").commit([table.write_file(feature_rows("s", segments=1))])
    compact(table)
    found = table.read(columns=["video_id", "cut"], partition="f-1").sort_by("video_id")
    assert found["cut"].to_pylist() == [None] * 6 + [[5.0, 30.0]]


def test_old_and_new_files_are_joined(tables: str):
    table = Table(tables, VIDEOS)
    table.create()
    rows = table.read(columns=VIDEOS.schema.names, partition="f-1", video_ids=["p"]).to_pylist()
    new = rows[0] | {"video_id": "s", "gone_since": 5.0}
    committer = Committer(table, partition="f-1")
    committer.commit([table.write_file(pa.Table.from_pylist([new], schema=VIDEOS.schema))])
    (version,) = compact(table)
    assert version is not None
    found = table.read(columns=["video_id", "gone_since"], partition="f-1").sort_by("video_id")
    assert found["gone_since"].to_pylist() == [None, None, None, 5.0]


@pytest.mark.parametrize("layout", TABLES, ids=lambda layout: str(layout.name))
def test_a_table_of_a_later_release_is_refused_for_that(tables: str, layout: TableSchema):
    Table(tables, later(layout)).create()
    for use in (Table.version, Table.create):
        with pytest.raises(
            UserError, match=rf"was written by a newer vbert \(schema {layout.version + 1}, this"
        ):
            use(Table(tables, layout))


def test_a_writer_that_has_it_open_when_columns_are_added_is_refused_too(tmp_path: Path):
    table = Table(str(tmp_path), FEATURES)
    table.create()
    committer = Committer(table, partition="f-1")
    Table(str(tmp_path), later(FEATURES)).create()
    with pytest.raises(UserError, match="was written by a newer vbert"):
        committer.commit([table.write_file(feature_rows("p"))])


def test_two_writers_may_bring_a_table_up_to_date_at_once(tables: str, monkeypatch: pytest.MonkeyPatch):
    first, second = Table(tables, VIDEOS), Table(tables, VIDEOS)
    opened = Table.open
    is_first = iter([True])

    def beaten(self: Table, version: int | None = None) -> object:
        delta = opened(self, version)
        if self is second and next(is_first, False):
            first.create()
        return delta

    monkeypatch.setattr(Table, "open", beaten)
    second.create()
    assert second.version() == first.version()
