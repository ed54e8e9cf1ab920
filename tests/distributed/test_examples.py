"""Annotations joined with documents and features, in this process: what the actors do."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.cooking_tables import cooking_tables
from tests.tiny import cooking
from vbert.distributed.examples import JoinDocuments, Videos, WriteExamples, numbered_blocks
from vbert.errors import UserError
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES
from vbert.tasks import example_store
from vbert.tasks.annotations import ANNOTATIONS
from vbert.tasks.example_store import ExampleStore, rows_of
from vbert.vocabulary.tree import load

NUM_VIDEOS = 8


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Of eight videos, with the id of their vocabulary."""
    root = str(tmp_path_factory.mktemp("tables"))
    return root, load(cooking_tables(root, num_videos=NUM_VIDEOS)).id


def annotations() -> pa.Table:
    """Two intervals of each video."""
    rows = [
        {"video_id": f"cooking-{number}", "split": "train" if number < 5 else "test"}
        | {"start_seconds": start, "end_seconds": start + 6, "labels": ["a"]}
        for number in range(NUM_VIDEOS)
        for start in (0.0, 12.0)
    ]
    return pa.Table.from_pylist(rows, schema=ANNOTATIONS)


def vectors(root: str) -> dict[str, np.ndarray]:
    """By video, as DuckDB or pandas would read the table."""
    rows = Table(root, FEATURES).read(columns=["video_id", "features"], partition="fake").to_pylist()
    return {row["video_id"]: np.array(row["features"], np.float32) for row in rows}


def test_examples_have_the_features_of_their_clips_and_tell_their_moments(
    tables: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(example_store, "CLIPS_AT_ONCE", 30)  # parts of three videos
    root, vocabulary = tables
    videos = Videos.latest(root, vocabulary=vocabulary, featurizer="fake")
    (block,) = numbered_blocks(annotations())
    write = WriteExamples(videos=videos, folder=str(tmp_path))
    moments = write(block).to_pylist()
    store = ExampleStore(str(tmp_path))
    stored = store.with_video(store.rows("train", "test"))
    joined = rows_of(JoinDocuments(videos=videos, window_seconds=None)(block))
    expected = vectors(root)
    training = []
    for mine, row in zip(stored, joined, strict=True):
        first = int(row["start_seconds"] / 1.5)
        assert row["visual_tokens"] == cooking_tokens(row)[first : first + 4]
        wanted = expected[row["video_id"]][first : first + 4].astype(np.float16)
        assert row["features"].tolist() == mine["features"].tolist() == wanted.tolist()
        training += [wanted] if row["split"] == "train" else []
    exact = np.concatenate(training).astype(np.float64)
    assert sum(row["count"] for row in moments) == len(exact) == 40
    np.testing.assert_allclose(sum(np.array(row["sums"]) for row in moments), exact.sum(0))
    np.testing.assert_allclose(sum(np.array(row["squares"]) for row in moments), (exact**2).sum(0))
    alone = Videos.latest(root, vocabulary=vocabulary)
    assert "features" not in JoinDocuments(videos=alone, window_seconds=None)(block).column_names


def cooking_tokens(row: dict[str, Any]) -> list[int]:
    tokens: list[int] = cooking(int(row["video_id"].split("-")[1]))["visual_tokens"]
    return tokens


def test_a_pinned_version_of_features_is_read_and_a_lacking_featurizer_is_said(tmp_path: Path):
    root = str(tmp_path)
    vocabulary = load(cooking_tables(root, num_videos=NUM_VIDEOS)).id
    videos = Videos.latest(root, vocabulary=vocabulary, featurizer="fake")
    (block,) = numbered_blocks(annotations())
    before = rows_of(JoinDocuments(videos=videos, window_seconds=None)(block))
    table = Table(root, FEATURES)
    Committer(table, partition="fake").commit([], drop={"cooking-0"})
    after = rows_of(JoinDocuments(videos=videos, window_seconds=None)(block))
    assert [row["features"].tolist() for row in after] == [row["features"].tolist() for row in before]
    latest = Videos.latest(root, vocabulary=vocabulary, featurizer="fake")
    gone = rows_of(JoinDocuments(videos=latest, window_seconds=None)(block))
    assert [len(row["visual_tokens"]) for row in gone] == [0, 0] + [4] * 14
    with pytest.raises(UserError, match="has no features of other-1"):
        Videos.latest(root, vocabulary=vocabulary, featurizer="other-1")
