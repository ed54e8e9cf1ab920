"""The index against numpy's products of the same float16 vectors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vbert.documents.data_streams import Run
from vbert.search.hits import Hit, best_hits
from vbert.search.index import (
    INTERVALS,
    delete_shards,
    index_folders,
    nearest,
    read_shard,
    shard_name,
    shard_runs,
    shards_with,
    write_shard,
)

DIM = 12


def intervals(owners: list[str]) -> pa.Table:
    starts = [1.5 * at for at in range(len(owners))]
    columns = {"video_id": owners, "start_seconds": starts, "end_seconds": [at + 1.5 for at in starts]}
    return pa.table(columns, schema=INTERVALS)


def write(folder: Path, owners: list[str], vectors: np.ndarray, *, num_rows: int) -> list[str]:
    uris = []
    for first in range(0, len(owners), num_rows):
        uri = f"{folder}/{shard_name(Run('a', first, num_rows))}"
        part = slice(first, first + num_rows)
        write_shard(uri, intervals(owners)[part], vectors[part])
        uris.append(uri)
    return uris


@pytest.mark.parametrize("num_per_video", [1, 3, 1000])
def test_the_nearest_are_those_of_all_products(tmp_path: Path, num_per_video: int):
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(1000, DIM)) * chance.uniform(0.1, 9, (1000, 1))
    # Neighbours of a video look alike, so that the best of all are of few videos.
    vectors[::2] = vectors[0] + 0.1 * vectors[::2]
    owners = [f"v{at // 60}" for at in range(1000)]  # some videos lie in two shards
    uris = write(tmp_path, owners, vectors, num_rows=250)
    asked = vectors[0].astype(np.float32)
    found = nearest(uris, asked, num_results=9, num_per_video=num_per_video, leave_out="v3")

    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float64)
    scores = unit @ (asked / np.linalg.norm(asked))
    wanted: list[int] = []
    for at in np.argsort(-scores):
        so_far = [owners[other] for other in wanted]
        if owners[at] != "v3" and so_far.count(owners[at]) < num_per_video and len(wanted) < 9:
            wanted.append(int(at))
    assert [round(hit.start_seconds / 1.5) for hit in found] == wanted
    assert [hit.video_id for hit in found] == [owners[at] for at in wanted]
    np.testing.assert_allclose([hit.score for hit in found], scores[wanted], atol=2e-3)


@pytest.mark.parametrize("folder", ["local", "memory://bucket"])
def test_a_shard_keeps_what_it_was_given_in_float16(tmp_path: Path, folder: str):
    uri = f"{tmp_path if folder == 'local' else folder}/s.arrow"
    write_shard(uri, intervals(["p", "q"]), np.array([[3.0, 4.0], [0.0, 0.0]]))
    rows, vectors = read_shard(uri)
    assert rows.to_pylist() == intervals(["p", "q"]).to_pylist()
    assert vectors.dtype == np.float16
    np.testing.assert_array_equal(vectors, np.array([[0.6, 0.8], [0, 0]], np.float16))


def test_a_shard_without_rows_is_no_hit(tmp_path: Path):
    uri = f"{tmp_path}/s.arrow"
    write_shard(uri, intervals([]), np.zeros((0, DIM), np.float32))
    assert nearest([uri], np.ones(DIM, np.float32), num_results=3, num_per_video=1) == []


def test_rows_of_files_become_runs_named_by_what_they_hold():
    runs = shard_runs({"b": 5, "a": 2}, num_rows=2)
    assert runs == [Run("a", 0, 2), Run("b", 0, 2), Run("b", 2, 2), Run("b", 4, 1)]
    assert len({shard_name(run) for run in runs}) == 4


def test_equal_hits_come_in_the_order_of_videos_and_times():
    hits = [
        Hit(video_id=name, start_seconds=at, end_seconds=at + 1, score=score)
        for name, at, score in [("q", 0.0, 1.0), ("p", 3.0, 1.0), ("p", 0.0, 1.0), ("r", 0.0, 2.0)]
    ]
    found = best_hits(hits, num_results=3, num_per_video=1)
    assert [(hit.video_id, hit.start_seconds) for hit in found] == [("r", 0.0), ("p", 0.0), ("q", 0.0)]


def test_the_shards_of_a_video_are_found_in_all_indexes(tmp_path: Path):
    ones = np.ones((4, DIM))
    write(tmp_path / "indexes" / "f-1" / "clips", ["p", "p", "q", "q"], ones, num_rows=2)
    write(tmp_path / "indexes" / "0123" / "m", ["q", "r", "s", "s"], ones, num_rows=2)
    assert [Path(folder).name for folder in index_folders(str(tmp_path))] == ["m", "clips"]
    found = list(shards_with(str(tmp_path), ["q"]))
    assert [Path(uri).parent.name for uri in found] == ["m", "clips"]
    delete_shards(found)
    assert list(shards_with(str(tmp_path), ["q"])) == []
    assert len(list(shards_with(str(tmp_path), ["p", "s"]))) == 2
    assert index_folders(str(tmp_path / "nowhere")) == []
