"""Documents of many videos are those of few, whichever way their tokens are exchanged."""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.training_here import work_here
from vbert.distributed import build_documents as module
from vbert.distributed.build_documents import DocumentsConfig, build_documents
from vbert.documents.changes import Comparison, DocumentChanges
from vbert.documents.exclusion import COUNTS
from vbert.errors import UserError
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, VIDEOS
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
def test_documents_are_the_same_whether_made_here_or_by_others_in_two_parts_or_through_ray_data(
    config: DocumentsConfig, joined: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MIN_VIDEOS_PER_FILE", 8)
    monkeypatch.setattr(module, "VIDEOS_PER_FILE", 8)
    monkeypatch.setattr(module, "VIDEOS_PER_PART", 56)
    monkeypatch.setattr(module, "VIDEOS_HERE", 0)
    tables, vocabulary = config.tables, load(config.vocabulary)
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
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
    monkeypatch.setattr(module, "VIDEOS_HERE", 64)
    assert build_documents(config).num_built == 99
    assert documents_of(tables, vocabulary.id) == few

    Committer(Table(tables, DOCUMENTS), partition=vocabulary.id).clear()
    monkeypatch.setattr(module, "VIDEOS_HERE", 0)
    monkeypatch.setattr(module, "FEW_CLIPS", 0)
    monkeypatch.setattr(module, "VIDEOS_PER_PART", 100)
    for name in ("MIN_VIDEOS_PER_FILE", "VIDEOS_PER_FILE"):  # Ray Data starts a process for each file
        monkeypatch.setattr(module, name, 40)
    assert build_documents(config).num_built == 99
    assert documents_of(tables, vocabulary.id) == few


def test_of_two_builds_at_once_the_second_to_commit_is_refused(
    config: DocumentsConfig, monkeypatch: pytest.MonkeyPatch
):
    """Both have found no document: each would make them all."""
    monkeypatch.setattr(module, "VIDEOS_HERE", 100)
    compare = Comparison.changes

    def another_builds_meanwhile(self: Comparison, **parts: Any) -> DocumentChanges:
        monkeypatch.setattr(Comparison, "changes", compare)
        read = {name: value if name == "exclude" else list(value) for name, value in parts.items()}
        assert build_documents(config).num_built == 99
        return compare(self, **read)

    monkeypatch.setattr(Comparison, "changes", another_builds_meanwhile)
    with pytest.raises(UserError, match="another job is committing"):
        build_documents(config)
    assert [row["video_id"] for row in documents_of(config.tables, load(config.vocabulary).id)] == IDS[:-1]


def signals(**lists: list[float]) -> dict[str, list[float]]:
    """Of two clips in which nothing is to be left out, but for what is said."""
    plain = {"motion": [9.0, 9.0], "brightness": [99.0, 99.0], "sharpness": [99.0, 99.0], "cut": [5.0, 5.0]}
    return plain | lists


def test_what_is_left_out_is_counted_and_comes_back(
    tmp_path: Path, joined: None, monkeypatch: pytest.MonkeyPatch
):
    work_here(monkeypatch)
    tables = str(tmp_path / "tables")
    vocabulary = Vocabulary(featurizer="f-1", centroids=[torch.randn(3**level, 3, 8) for level in range(2)])
    says = {
        "a": "So now let me show you how to chop the onion and fry it in butter.",
        "b": "Jetzt zeige ich euch, wie man die Zwiebel schneidet und in Butter brät.",
    }
    shows = {
        "a": signals(motion=[0.1, 9.0]),
        "b": signals(),
        "c": signals(),
        "d": signals(brightness=[3.0, 99.0], cut=[5.0, 80.0]),
        "e": {},  # of an earlier release
    }
    features, ledger = [], []
    for name, mine in shows.items():
        video = {"video_id": name, "featurizer": "f-1", "fingerprint": "x"}
        transcript = tmp_path / f"{name}.vtt"
        if name in says:
            late = "\n01:00:00.000 --> 01:00:01.000\nNicht wahr?\n" if name == "b" else ""
            transcript.write_text(f"WEBVTT\n\n00:00.000 --> 00:03.000\n{says[name]}\n{late}")
        features.append(
            {**video, "segment_index": 0, "clip_seconds": 1.5, "clip_start_seconds": [0.0, 1.5]}
            | {"features": np.random.default_rng(0).normal(size=(2, 8)).tolist(), **mine}
        )
        ledger.append(
            {
                **video,
                "uri": f"{tmp_path}/{name}.mp4",
                "status": "ok",
                "num_clips": 2,
                "duration_seconds": 3.0,
            }
            | ({"transcript_uri": str(transcript), "transcript_fingerprint": "t"} if name in says else {})
        )
    copies = [
        {"video_id": name, "featurizer": "f-1", "kept_id": kept, "cluster": kept}
        for name, kept in (("b", "b"), ("c", "b"), ("a", "a"))
    ]
    for layout, rows in ((FEATURES, features), (VIDEOS, ledger)):
        commit(Table(tables, layout), [pa.Table.from_pylist(rows, schema=layout.schema)])
    plain = DocumentsConfig(tables=tables, vocabulary=save(vocabulary, tables))
    strict = replace(plain, exclude=("stills", "black", "cuts", "other-languages", "duplicates"))
    with pytest.raises(UserError, match=r"--exclude duplicates needs the copies of f-1; run deduplicate"):
        build_documents(strict)
    commit(Table(tables, DUPLICATES), [pa.Table.from_pylist(copies, schema=DUPLICATES.schema)])

    summary = build_documents(strict)
    counts = (summary.num_duplicates, summary.num_other_languages)
    assert (*counts, summary.num_black, summary.num_stills, summary.num_cuts) == (1, 1, 1, 1, 1)
    assert (summary.num_built, summary.num_tokens, summary.num_sentences) == (5, 3, 1)
    assert summary.num_late_sentences == 0
    a, b, c, d, e = documents_of(tables, vocabulary.id)
    assert a["visual_token_start_seconds"] == [1.5]
    assert (a["num_stills"], d["num_black"], d["num_cuts"]) == (1, 1, 1)
    assert (b["excluded_for"], c["excluded_for"]) == ("other-languages", "duplicates")
    assert [len(row["visual_tokens"]) for row in (b, c, d, e)] == [0, 0, 0, 2], "nothing is known of e"
    assert a["exclude"] == "black cuts duplicates other-languages-than-eng stills"
    assert build_documents(strict).num_unchanged == 5

    # What deduplicate finds later changes what is left out.
    Committer(Table(tables, DUPLICATES), partition="f-1").clear()
    copies[1] |= {"kept_id": "c", "cluster": "c"}
    commit(Table(tables, DUPLICATES), [pa.Table.from_pylist(copies, schema=DUPLICATES.schema)])
    assert build_documents(strict).num_built == 1

    every = build_documents(plain)
    assert (every.num_built, every.num_tokens, every.num_sentences) == (5, 10, 3)
    assert every.num_late_sentences == 1
    rows = documents_of(tables, vocabulary.id)
    tokens = vocabulary.assign(np.array(features[0]["features"], np.float32)).tolist()
    assert [row["visual_tokens"] for row in rows] == [tokens] * 5
    assert [(row["language"], row["exclude"], row["excluded_for"]) for row in rows] == [
        ("eng", None, None),
        ("deu", None, None),
        *[(None, None, None)] * 3,
    ]
    assert {name: sum(row[name] for row in rows) for name in COUNTS} == dict.fromkeys(COUNTS, 0)
