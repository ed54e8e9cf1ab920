"""Lookups of a few ids open a few files, and compaction keeps it so."""

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.table_rows import compact, feature_rows, keys_of
from vbert.tables import delta
from vbert.tables.clustering import MAX_DEPTH, files_to_join
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NARROW, StoredFile
from vbert.tables.schemas import FEATURES
from vbert.tables.selection import Among, Between

LETTERS = [chr(ord("a") + number) for number in range(26)]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table(str(tmp_path), FEATURES)
    made.create()
    return made


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The files that are opened, and the row groups that are read of them: of which columns, or all."""
    found: Counter[str] = Counter()
    read = pq.ParquetFile.read_row_group

    def noted(self: pq.ParquetFile, index: int, *, columns: list[str]) -> pa.Table:
        found[f"{index} {'ids' if columns == ['video_id'] else 'all'}"] += 1
        return read(self, index, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    opened = delta.read_file

    def noted_file(uri: str, layout: object, path: str, **options: object) -> pa.Table:
        found[path] += 1
        return opened(uri, layout, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(delta, "read_file", noted_file)
    return found


def put(table: Table, *groups: str, segments: int = 1) -> None:
    """A file for each group of videos, in one commit."""
    files = [table.write_file(feature_rows(group, segments=segments)) for group in groups]
    Committer(table, partition="f-1").commit(files)


def test_a_few_videos_are_read_from_the_files_and_groups_that_may_hold_them(
    table: Table, read_files: Counter[str]
):
    put(
        table, "abc", "def", "ghi", segments=30
    )  # 90 rows a file: two groups, the first up to the third's 4th
    found = table.read(columns=["video_id", "segment_index"], partition="f-1", video_ids=["d", "zz"])
    assert sorted(found["segment_index"].to_pylist()) == list(range(30))
    (path,) = table.paths_with(["d"], partition="f-1")
    assert read_files == {path: 2, "0 ids": 2, "0 all": 1}, "of one file one group, twice"
    assert table.paths_with(["zz"], partition="f-1") == []
    assert table.read(columns=["video_id"], partition="f-1", video_ids=[]).num_rows == 0


def test_of_files_that_do_not_hold_it_the_narrow_ones_are_read_and_nothing_else(
    table: Table, read_files: Counter[str]
):
    put(table, "acz", "adz", "aez")
    found = table.read(columns=["video_id", "segment_index"], partition="f-1", video_ids=["d"])
    assert found["video_id"].to_pylist() == ["d"]
    assert (read_files["0 ids"], read_files["0 all"]) == (1, 1)
    for path in Path(table.uri, NARROW).rglob("*.parquet"):
        path.unlink()  # as of an earlier release
    found = table.read(columns=["video_id", "segment_index"], partition="f-1", video_ids=["d"])
    assert found["video_id"].to_pylist() == ["d"]
    assert (read_files["0 ids"], read_files["0 all"]) == (1 + 3, 1 + 1), "the ids, of each"
    many = [*"bcdefghijk"]
    assert set(
        table.read(columns=["video_id", "segment_index"], partition="f-1", video_ids=many)[
            "video_id"
        ].to_pylist()
    ) == {*"cde"}
    assert (read_files["0 ids"], read_files["0 all"]) == (4, 2 + 3), "where some will be, all at once"


@pytest.mark.parametrize(
    ("least", "greatest", "expected"),
    [
        ("a", "b", False),
        ("a", "c", True),
        ("c", "d", True),
        ("d", "d", False),
        ("d", "g", True),
        ("n", "z", False),
    ],
)
def test_a_part_may_hold_an_id_that_is_not_outside_of_its_range(least: str, greatest: str, expected: bool):
    assert Among(["c", "e", "m"]).may_be_from(least, greatest) == expected


def test_a_range_is_with_its_first_id_and_without_its_end():
    ids = pa.chunked_array([["a", "b", "c", "d"]])
    assert Between("b", "d").is_in(ids).to_pylist() == [False, True, True, False]
    assert Between(None, "b").is_in(ids).to_pylist() == [True, False, False, False]
    assert Between().is_in(ids).to_pylist() == [True] * 4
    assert not Between("b", "d").may_be_from("d", "e")
    assert not Between("b", "d").may_be_from("a", "a")
    assert Between("b", "d").may_be_from("a", "b")


def depth(files: list[StoredFile]) -> int:
    """In how many files at most an id has to be looked for."""
    return max(sum(file.least_id <= one.least_id <= file.greatest_id for file in files) for one in files)


def test_nights_of_new_videos_are_merged_a_level_at_a_time(table: Table):
    """Forty nights of 16 videos with ids from all over the range, each compacted: files of 40 rows."""
    chance = random.Random(0)
    size = table.write_file(feature_rows("".join(LETTERS[:8]), segments=5)).size_bytes
    written = 0
    for _ in range(40):
        put(table, *("".join(chance.sample(LETTERS, 8)) for _ in range(2)), segments=5)
        for file in table.stored(partition="f-1"):
            assert file.least_id <= file.greatest_id
        written += len(compact(table, target_bytes=size))
    before = keys_of(table)
    assert len(before) == 40 * 2 * 8 * 5
    while compact(table, target_bytes=size):
        pass
    assert keys_of(table) == before
    files = table.stored(partition="f-1")
    assert depth(files) <= 3 * MAX_DEPTH, f"{len(files)} files"
    for file in files:
        rows = pq.read_table(f"{table.uri}/{file.path}", columns=["video_id", "segment_index"]).to_pylist()
        keys = [tuple(row.values()) for row in rows]
        assert keys == sorted(keys)
        assert (keys[0][0], keys[-1][0]) == (file.least_id, file.greatest_id)
    assert written < 60, "a row is not written again every night"


def test_a_file_that_is_too_large_is_cut_between_videos(table: Table):
    put(table, "".join(LETTERS), segments=6)
    (file,) = table.stored(partition="f-1")
    compact(table, target_bytes=file.size_bytes // 4)
    ranges = [(file.least_id, file.greatest_id) for file in table.stored(partition="f-1")]
    assert len(ranges) == 4
    assert sorted(ranges) == [("a", "f"), ("g", "m"), ("n", "s"), ("t", "z")]
    assert len(keys_of(table)) == 26 * 6
    assert files_to_join(table, partition="f-1", target_bytes=file.size_bytes // 4) == []
