"""What vacuum takes, beside jobs that write: nothing that is committed, whatever stood still meanwhile."""

import os
import time
from pathlib import Path

import pytest

from tests.table_rows import compact, feature_rows, keys_of, make_old
from vbert.errors import UserError
from vbert.tables import pins as module
from vbert.tables import vacuum as vacuum_module
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import HOUR, WRITER_HOURS, is_safe, pinned
from vbert.tables.schemas import FEATURES, TableSchema
from vbert.tables.vacuum import vacuum


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Two videos in a file each."""
    made = Table(str(tmp_path), FEATURES)
    made.create()
    committer = Committer(made, partition="f-1")
    for video in "ab":
        committer.commit([made.write_file(feature_rows(video, segments=1))])
    return made


def files(table: Table) -> list[str]:
    """With their narrow ones there are twice as many."""
    found = sorted(path.name for path in Path(table.uri).rglob("part-*.parquet"))
    assert found[::2] == found[1::2]
    return found[::2]


def test_a_file_that_is_committed_while_vacuum_lists_stays(table: Table, monkeypatch: pytest.MonkeyPatch):
    """Its listing of a large bucket takes as long as a job needs to commit."""
    orphan = table.write_file(feature_rows("c", segments=1))
    make_old(table, hours=2)
    found = vacuum_module.stored_files

    def list_slowly(uri: str) -> list[str]:
        listed = found(uri)
        compact(Table(table.root, FEATURES))
        make_old(table, hours=2)
        return listed

    monkeypatch.setattr(vacuum_module, "stored_files", list_slowly)
    assert vacuum(Table(table.root, FEATURES), retention_hours=1) == [orphan.path]
    assert keys_of(Table(table.root, FEATURES)) == [("a", 0, "a"), ("b", 0, "a")]


def test_what_was_committed_after_the_list_was_made_is_no_longer_on_it(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    writer = Committer(table, partition="f-1")
    files_of_c = [table.write_file(feature_rows("c", segments=1))]
    orphan = table.write_file(feature_rows("d", segments=1))
    found = vacuum_module.stored_files

    def commit_first(uri: str) -> list[str]:
        listed = found(uri)
        for path in Path(table.uri).rglob("part-*.parquet"):
            os.utime(path)
        writer.commit(files_of_c)
        return listed

    monkeypatch.setattr(vacuum_module, "stored_files", commit_first)
    make_old(table, hours=2)
    assert vacuum(Table(table.root, FEATURES), retention_hours=1) == [orphan.path]
    assert [video for video, *_ in keys_of(Table(table.root, FEATURES))] == ["a", "b", "c"]


def test_a_file_that_has_waited_too_long_is_not_committed(table: Table):
    writer = Committer(table, partition="f-1")
    waiting = table.write_file(feature_rows("c", segments=1))
    make_old(table, hours=1)
    with pytest.raises(UserError, match=r"part-\w+\.parquet: waits for its commit since .* UTC; this job"):
        writer.commit([waiting])
    with pinned(table.root, "featurize-1", job="featurize"):
        with pytest.raises(UserError, match="waits for its commit since"):
            writer.commit([waiting])
        young = table.write_file(feature_rows("c", segments=1))
        writer.commit([young])
    assert vacuum(table, retention_hours=1) == [waiting.path]


def test_a_writer_that_stood_still_for_longer_than_its_pin_begins_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = str(tmp_path)
    monkeypatch.setattr(module, "RENEWED_SECONDS", 0.01)
    with pinned(root, "featurize-1", job="featurize"):
        began = time.time()
        monkeypatch.setattr(module.time, "time", lambda: began + (WRITER_HOURS - 0.5) * HOUR)
        wait_until_safe(root, began)
        monkeypatch.setattr(module.time, "time", lambda: began + (2 * WRITER_HOURS) * HOUR)
        assert not is_safe(root, written_at=began), "its pin has expired, or begins now"


def test_a_pin_that_a_store_refuses_to_renew_expires_and_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root, num_refused = str(tmp_path), 0

    def refuse(*_: object) -> None:
        nonlocal num_refused
        num_refused += 1
        raise OSError("the store is away")

    monkeypatch.setattr(module, "RENEWED_SECONDS", 0.01)
    with pinned(root, "featurize-1", job="featurize"):
        began = time.time()
        write = module.write_json
        monkeypatch.setattr(module, "write_json", refuse)
        monkeypatch.setattr(module.time, "time", lambda: began + num_refused * HOUR)
        deadline = time.monotonic() + 10
        while num_refused <= 2 * WRITER_HOURS:
            assert time.monotonic() < deadline
        monkeypatch.setattr(module, "write_json", write)
        while not module.pins(root):
            assert time.monotonic() < deadline
        assert not is_safe(root, written_at=began)


def wait_until_safe(root: str, written_at: float) -> None:
    deadline = time.monotonic() + 10
    while not is_safe(root, written_at=written_at):
        assert time.monotonic() < deadline


def test_two_vacuums_at_once_delete_the_same_files(table: Table, monkeypatch: pytest.MonkeyPatch):
    orphan = table.write_file(feature_rows("c", segments=1))
    make_old(table, hours=2)
    delete = vacuum_module.delete_files

    def other_first(uri: str, layout: TableSchema, paths: list[str]) -> None:
        monkeypatch.setattr(vacuum_module, "delete_files", delete)
        assert vacuum(Table(table.root, FEATURES), retention_hours=1) == [orphan.path]
        delete(uri, layout, paths)

    monkeypatch.setattr(vacuum_module, "delete_files", other_first)
    vacuum(table, retention_hours=1)
    assert len(files(table)) == 2
    assert vacuum(table, retention_hours=1) == []
