"""Tables: committed once, replaced in one commit, compacted, and open to other readers."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.table_rows import DIM, compact, feature_rows, keys_of
from vbert.errors import UserError
from vbert.tables.clustering import files_to_join, small_neighbours
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, pack_vectors, unpack_vectors
from vbert.tables.vacuum import vacuum


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table(str(tmp_path), FEATURES)
    made.create()
    return made


def test_a_file_is_not_there_for_readers_until_it_is_committed(table: Table):
    file = table.write_file(feature_rows("p"))
    assert keys_of(table) == []
    Committer(table, partition="f-1").commit([file])
    assert keys_of(table) == [("p", 0, "a"), ("p", 1, "a"), ("p", 2, "a")]


def test_making_a_table_twice_keeps_its_rows(table: Table):
    Committer(table, partition="f-1").commit([table.write_file(feature_rows("p", segments=1))])
    table.create()
    assert keys_of(table) == [("p", 0, "a")]


def test_vectors_come_back_bit_for_bit(table: Table):
    values = np.random.default_rng(3).standard_normal((5, DIM)).astype(np.float16).astype(np.float32)
    rows = feature_rows("pq", segments=1).drop_columns(["features"])
    rows = rows.append_column("features", pack_vectors([values[:2], values[2:]]))
    Committer(table, partition="f-1").commit([table.write_file(rows)])
    found = table.read(columns=["video_id", "features"], partition="f-1").sort_by("video_id")["features"]
    np.testing.assert_array_equal(unpack_vectors(found), values)


def test_a_changed_video_is_replaced_in_one_commit_and_its_neighbours_stay(table: Table):
    committer = Committer(table, partition="f-1")
    committer.commit([table.write_file(feature_rows("pq", segments=2))])
    committer.commit([table.write_file(feature_rows("r", segments=1))])
    before = table.version()
    after = committer.commit([table.write_file(feature_rows("q", segments=3, fingerprint="b"))], drop=["q"])
    assert after == before + 1
    p_and_r = [("p", 0, "a"), ("p", 1, "a"), ("r", 0, "a")]
    assert keys_of(table) == sorted([*p_and_r, ("q", 0, "b"), ("q", 1, "b"), ("q", 2, "b")])
    old = table.read(columns=["fingerprint"], partition="f-1", version=before)
    assert old["fingerprint"].to_pylist() == ["a"] * 5, "the version before is whole, too"


def test_a_file_whose_rows_all_go_is_not_rewritten(table: Table):
    committer = Committer(table, partition="f-1")
    committer.commit([table.write_file(feature_rows("pq"))])
    committer.commit([], drop=["p", "q"])
    assert keys_of(table) == []
    assert table.open().file_uris() == []


def test_nothing_to_commit_makes_no_version(table: Table):
    before = table.version()
    assert Committer(table, partition="f-1").commit([], drop=["nobody"]) == before


def test_partitions_do_not_see_each_other(table: Table):
    for featurizer in ("f-1", "f-2"):
        rows = feature_rows("p", segments=1, featurizer=featurizer, fingerprint=featurizer)
        Committer(table, partition=featurizer).commit([table.write_file(rows)])
    Committer(table, partition="f-1").commit([], drop=["p"])
    assert keys_of(table) == []
    assert keys_of(table, "f-2") == [("p", 0, "f-2")]
    assert table.partitions() == ["f-2"]


def test_a_second_job_on_the_same_partition_is_named_and_commits_nothing(table: Table):
    first, second = Committer(table, partition="f-1"), Committer(table, partition="f-1")
    first.commit([table.write_file(feature_rows("p", segments=1))])
    with pytest.raises(UserError, match=r"another job is committing f-1 \(its commit 1, ours would be 1\)"):
        second.commit([table.write_file(feature_rows("p", segments=1))])
    assert keys_of(table) == [("p", 0, "a")]


def test_compaction_joins_files_and_keeps_rows_statistics_and_encoding(table: Table):
    committer = Committer(table, partition="f-1")
    for video_id in "pqrst":
        committer.commit([table.write_file(feature_rows(video_id, segments=30))])
    before = keys_of(table)
    compact(table, target_bytes=128 << 20)
    (path,) = DeltaTable(table.uri).file_uris()
    assert keys_of(table) == before
    parquet = pq.ParquetFile(path).metadata
    columns = [parquet.row_group(0).column(i) for i in range(parquet.num_columns)]
    (vectors,) = [column for column in columns if column.path_in_schema.startswith("features")]
    assert "BYTE_STREAM_SPLIT" in vectors.encodings
    assert vectors.compression == "ZSTD"


def test_files_are_joined_up_to_the_target_and_large_ones_left_alone(table: Table):
    committer = Committer(table, partition="f-1")
    files = [table.write_file(feature_rows(video_id)) for video_id in "pqrst"]
    committer.commit(files)
    two = files[0].size_bytes + files[1].size_bytes
    groups = files_to_join(table, partition="f-1", target_bytes=two + 100)
    paths = [[file.path for file in group] for group in groups]
    assert paths == [[files[0].path, files[1].path], [files[2].path, files[3].path]]
    assert files_to_join(table, partition="f-1", target_bytes=files[0].size_bytes) == []
    assert small_neighbours(table, partition="f-1", target_bytes=two + 100) == groups
    assert table.num_small_files(two + 100, partition="f-1") == 5
    assert table.num_small_files(files[0].size_bytes, partition="f-1") == 0


def test_float16_values_take_about_half_the_bytes_of_random_float32(table: Table):
    values = np.random.default_rng(0).standard_normal((640, 1280)).astype(np.float32)
    rows = feature_rows("p", segments=16).drop_columns(["features"])
    sizes = []
    for precision in (np.float16, np.float32):
        vectors = list(values.astype(precision).astype(np.float32).reshape(16, 40, 1280))
        file = table.write_file(rows.append_column("features", pack_vectors(vectors)))
        assert file.size_bytes == Path(table.uri, file.path).stat().st_size
        sizes.append(file.size_bytes)
    assert sizes[0] < 0.6 * sizes[1]


def test_vacuum_takes_orphans_and_old_versions_but_no_row(table: Table):
    committer = Committer(table, partition="f-1")
    orphan = table.write_file(feature_rows("p", segments=1))
    committer.commit([table.write_file(feature_rows("q", segments=1))])
    committer.commit([table.write_file(feature_rows("q", segments=1, fingerprint="b"))], drop=["q"])
    assert len(list(Path(table.uri).glob("f*/part-*.parquet"))) == 3
    assert vacuum(table, retention_hours=1) == [], (
        "young files stay: a running job may be about to commit them"
    )
    for path in Path(table.uri).rglob("part-*.parquet"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    assert orphan.path in vacuum(table, retention_hours=1)
    assert keys_of(table) == [("q", 0, "b")]


def test_statistics_are_those_that_delta_asks_for(table: Table):
    stats = json.loads(table.write_file(feature_rows("pq", segments=2)).stats)
    assert stats == {
        "numRecords": 4,
        "minValues": {"video_id": "p", "segment_index": 0},
        "maxValues": {"video_id": "q", "segment_index": 1},
        "nullCount": {"video_id": 0, "segment_index": 0},
    }


def test_duckdb_polars_and_pandas_read_the_table(table: Table):
    Committer(table, partition="f-1").commit([table.write_file(feature_rows("pq", segments=2))])
    files = table.open().file_uris()
    query = "select video_id, featurizer, list_sum(flatten(features)) from read_parquet($files) order by all"
    by_duckdb = duckdb.execute(query, {"files": files}).fetchall()
    frame = pl.read_delta(table.uri).sort("video_id", "segment_index")
    by_polars = [
        (row["video_id"], row["featurizer"], sum(map(sum, row["features"])))
        for row in frame.iter_rows(named=True)
    ]
    panda = table.open().to_pandas().sort_values(["video_id", "segment_index"])
    by_pandas = [
        (row.video_id, row.featurizer, sum(map(sum, row.features))) for row in panda.itertuples(index=False)
    ]
    # Segment k of video v holds 2 x 7 times ord(v) + k / 8.
    expected = [(name, "f-1", 14 * (ord(name) + index / 8)) for name in "pq" for index in range(2)]
    assert by_duckdb == by_polars == by_pandas == expected


def test_a_table_that_is_not_there_is_one_clear_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"features: no such table; give the --tables that featurize wrote"):
        Table(str(tmp_path), FEATURES).read(columns=["video_id"], partition="f-1")


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot make the table"):
        Table(str(tmp_path / "file"), FEATURES).create()


def test_a_folder_of_other_files_becomes_no_table(tmp_path: Path):
    """Upkeep deletes what no version names: of `--corpus data/videos --tables data`, the videos."""
    video = tmp_path / "features" / "deep" / "a.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"x")
    with pytest.raises(
        UserError, match="features: holds deep and no table; give --tables a folder of their own"
    ):
        Table(str(tmp_path), FEATURES).create()
    assert list((tmp_path / "features").rglob("*")) == [video.parent, video]


def test_a_creation_that_was_cut_off_is_done_again(tmp_path: Path):
    (tmp_path / "features" / "_delta_log").mkdir(parents=True)
    Table(str(tmp_path), FEATURES).create()


def test_vacuum_deletes_no_file_that_is_not_ours(table: Table):
    orphan = table.write_file(feature_rows("a"))
    folder = Path(table.uri)
    video = folder / "a.mp4"
    video.write_bytes(b"x")
    for path in (video, folder / orphan.path):
        os.utime(path, (0, 0))
    with pytest.raises(UserError, match=r"holds a\.mp4, which is not the table's; move it elsewhere"):
        vacuum(table, retention_hours=1)
    assert video.exists()
    assert (folder / orphan.path).exists()
    video.unlink()
    assert vacuum(table, retention_hours=1) == [orphan.path]


def test_another_s_table_is_told_from_ours(tmp_path: Path):
    odd = replace(FEATURES, schema=FEATURES.schema.remove(0))
    Table(str(tmp_path), odd).create()
    with pytest.raises(UserError, match=r"features: is another's table \(without video_id\)"):
        Table(str(tmp_path), FEATURES).version()
