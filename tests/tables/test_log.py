"""The log of a table in a bucket is read from a copy, and written through it."""

import gc
import json

import pytest
from deltalake import DeltaTable

from tests.table_rows import feature_rows, keys_of
from vbert.storage.files import filesystem_of
from vbert.tables import log
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES

pytestmark = pytest.mark.slow


def put(table: Table, *names: str) -> None:
    committer = Committer(table, partition="f-1")
    for name in names:
        committer.commit([table.write_file(feature_rows(name, segments=1))])


def ids_in(root: str) -> list[str]:
    """As Delta itself reads the bucket, and as we do: the same."""
    mine = [key for key, *_ in keys_of(Table(root, FEATURES))]
    deltas = DeltaTable(f"{root}/features").to_pyarrow_table(columns=["video_id"])["video_id"].to_pylist()
    assert sorted(deltas) == sorted(mine)
    return sorted(mine)


@pytest.fixture
def table(bucket: str) -> Table:
    """Twelve commits, the first ten summed up."""
    made = Table(bucket, FEATURES)
    made.create()
    put(made, *"abcdefghijkl")
    return made


def test_delta_reads_what_is_written_through_the_copy_and_goes_on_from_it(table: Table):
    assert ids_in(table.root) == [*"abcdefghijkl"]
    DeltaTable(table.uri).delete("video_id = 'a'")
    assert ids_in(table.root) == [*"bcdefghijkl"]
    put(table, "m")
    assert ids_in(table.root) == [*"bcdefghijklm"]


def test_a_log_without_its_first_commits_is_read_from_its_checkpoint(table: Table):
    filesystem, path = filesystem_of(f"{table.uri}/{log.FOLDER}")
    for number in range(10):
        filesystem.rm_file(f"{path}/{number:020}.json")
    whole = filesystem.cat_file(f"{path}/{log.NEWEST_SUM}")
    for pointer in (whole, json.dumps({"version": 99}).encode(), b"half", None):
        filesystem.rm_file(f"{path}/{log.NEWEST_SUM}")
        if pointer is not None:
            filesystem.pipe_file(f"{path}/{log.NEWEST_SUM}", pointer)
        assert [key for key, *_ in keys_of(Table(table.root, FEATURES))] == [*"abcdefghijkl"]
    put(Table(table.root, FEATURES), "m")
    assert [key for key, *_ in keys_of(table)] == [*"abcdefghijklm"]


def test_a_commit_that_lands_though_the_store_says_no_is_found(table: Table, monkeypatch: pytest.MonkeyPatch):
    filesystem, _ = filesystem_of(table.uri)
    pipe, failures = filesystem.pipe_file, iter([True])

    def pipe_and_fail(path: str, data: bytes, **options: object) -> None:
        pipe(path, data, **options)
        if path.endswith(".json") and next(failures, False):
            raise OSError("the connection was closed")

    monkeypatch.setattr(filesystem, "pipe_file", pipe_and_fail)
    put(table, "m", "n")
    assert next(failures, None) is None, "it has failed"
    assert ids_in(table.root) == [*"abcdefghijklmn"]
    assert table.version() == 14


def test_of_two_with_the_same_state_one_is_refused_and_chooses_again(table: Table):
    other = Table(table.root, FEATURES)
    mine, theirs = (Committer(one, partition=name) for one, name in ((table, "f-1"), (other, "f-2")))
    newest = table.log.newest

    def newest_then_theirs() -> DeltaTable:
        seen = newest()
        table.log.newest = newest  # type: ignore[method-assign]
        theirs.commit([other.write_file(feature_rows("z", segments=1, featurizer="f-2"))])
        return seen

    table.log.newest = newest_then_theirs  # type: ignore[method-assign]
    assert mine.commit([table.write_file(feature_rows("m", segments=1))]) == 14, "theirs is the thirteenth"
    assert [key for key, *_ in keys_of(Table(table.root, FEATURES))] == [*"abcdefghijklm"]
    assert [key for key, *_ in keys_of(Table(table.root, FEATURES), "f-2")] == ["z"]


def test_a_copy_is_not_gone_on_with_after_a_month(table: Table, monkeypatch: pytest.MonkeyPatch):
    """The commits that it lacks may have been deleted, and their numbers look free."""
    assert table.version() == 12
    put(Table(table.root, FEATURES), *"mnopqrstu")
    filesystem, path = filesystem_of(f"{table.uri}/{log.FOLDER}")
    for number in range(13, 20):
        filesystem.rm_file(f"{path}/{number:020}.json")
    monkeypatch.setattr(log, "COPY_SECONDS", 0.0)
    assert table.version() == 21


def test_the_copy_goes_with_its_table(bucket: str):
    table = Table(bucket, FEATURES)
    assert not table.exists()
    assert isinstance(table.log, log.CopiedLog)
    copy = table.log._copy
    assert copy.is_dir()
    del table
    gc.collect()
    assert not copy.exists()
