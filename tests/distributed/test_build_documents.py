"""Documents of many videos are those of few, whichever way their tokens are exchanged."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from vbert.distributed import build_documents as module
from vbert.distributed.build_documents import DocumentsConfig, build_documents
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS
from vbert.vocabulary.tree import Vocabulary, load, save

pytestmark = pytest.mark.slow
NUM_VIDEOS = 100
IDS = [f"{number:03}" for number in range(NUM_VIDEOS)]


@pytest.fixture
def config(tmp_path: Path) -> DocumentsConfig:
    """Three segments a video, in files of ten segments of videos from anywhere; one video has none yet."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(featurizer="f-1", centroids=[torch.randn(3**level, 3, 8) for level in range(2)])
    chance, noise = random.Random(0), np.random.default_rng(0)
    rows = [
        {
            **dict.fromkeys(FEATURES.schema.names),
            **{"video_id": video_id, "featurizer": "f-1", "fingerprint": "a", "segment_index": index},
            **{"clip_seconds": 1.5, "clip_start_seconds": [3.0 * index, 3.0 * index + 1.5]},
            "features": noise.normal(size=(2, 8)).tolist(),
        }
        for video_id in IDS[:-1]
        for index in range(3)
    ]
    chance.shuffle(rows)
    features = Table(str(tmp_path), FEATURES)
    parts = [
        pa.Table.from_pylist(rows[at : at + 10], schema=FEATURES.schema) for at in range(0, len(rows), 10)
    ]
    commit(features, parts)
    ledger = [
        {
            **dict.fromkeys(VIDEOS.schema.names),
            **{"video_id": video_id, "featurizer": "f-1", "uri": f"/{video_id}.mp4", "fingerprint": "a"},
            **{"duration_seconds": 9.0, "status": "ok", "num_clips": 6},
        }
        for video_id in IDS
    ]
    commit(Table(str(tmp_path), VIDEOS), [pa.Table.from_pylist(ledger, schema=VIDEOS.schema)])
    return DocumentsConfig(tables=str(tmp_path), vocabulary=save(vocabulary, str(tmp_path)))


def commit(table: Table, parts: list[pa.Table]) -> None:
    table.create()
    Committer(table, partition="f-1").commit([table.write_file(part) for part in parts])


def documents_of(tables: str, vocabulary: str) -> list[dict[str, Any]]:
    found = Table(tables, DOCUMENTS).read(columns=DOCUMENTS.schema.names, partition=vocabulary)
    return found.sort_by("video_id").to_pylist()


@pytest.mark.seconds(60)
def test_tokens_are_exchanged_by_this_process_in_two_parts_or_by_ray_data(
    config: DocumentsConfig, joined: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MIN_VIDEOS_PER_FILE", 8)
    monkeypatch.setattr(module, "VIDEOS_PER_FILE", 8)
    monkeypatch.setattr(module, "VIDEOS_PER_PART", 56)
    tables, vocabulary = config.tables, load(config.vocabulary)
    summary = build_documents(config)
    assert (summary.num_built, summary.num_postponed, summary.num_tokens) == (99, 1, 99 * 6)
    few = documents_of(tables, vocabulary.id)
    assert [row["video_id"] for row in few] == IDS[:-1]
    files = Table(tables, DOCUMENTS).stored(partition=vocabulary.id)
    assert len(files) == 13
    ranges = sorted((file.least_id, file.greatest_id) for file in files)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    features = Table(tables, FEATURES).read(
        columns=["segment_index", "features"], partition="f-1", video_ids=["042"]
    )
    vectors = np.concatenate(
        [np.float32(row) for row in features.sort_by("segment_index")["features"].to_pylist()]
    )
    assert few[42]["visual_tokens"] == vocabulary.assign(vectors).tolist()
    assert build_documents(config).num_unchanged == 99

    Committer(Table(tables, DOCUMENTS), partition=vocabulary.id).clear()
    monkeypatch.setattr(module, "FEW_CLIPS", 0)
    monkeypatch.setattr(module, "VIDEOS_PER_PART", 100)
    for name in ("MIN_VIDEOS_PER_FILE", "VIDEOS_PER_FILE"):  # Ray Data starts a process for each file
        monkeypatch.setattr(module, name, 40)
    assert build_documents(config).num_built == 99
    assert documents_of(tables, vocabulary.id) == few
