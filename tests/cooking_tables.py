"""Tables of cooking videos, as featurize, fit_vocabulary and build_documents would leave them."""

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tests.tiny import NUM_VISUAL_TOKENS, cooking
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES
from vbert.vocabulary.tree import Vocabulary, save


def cooking_tables(root: str, *, num_videos: int) -> str:
    """Write documents in two files, their features and their vocabulary; return the vocabulary's folder."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(featurizer="fake", centroids=[torch.randn(3**level, 3, 8) for level in range(3)])
    assert vocabulary.num_leaves == NUM_VISUAL_TOKENS
    rows = [cooking(number) | {"vocabulary": vocabulary.id} for number in range(num_videos)]
    table = Table(root, DOCUMENTS)
    table.create()
    cut = num_videos * 5 // 8
    files = [
        table.write_file(pa.Table.from_pylist(part, schema=DOCUMENTS.schema))
        for part in (rows[:cut], rows[cut:])
    ]
    Committer(table, partition=vocabulary.id).commit(files)
    _write_features(root, rows)
    return save(vocabulary, root)


def _write_features(root: str, documents: list[dict[str, Any]]) -> None:
    """The features that the documents' tokens came from: noise of 8 dimensions."""
    chance = np.random.default_rng(0)
    rows = [
        {
            "video_id": document["video_id"],
            "featurizer": "fake",
            "fingerprint": document["fingerprint"],
            "segment_index": 0,
            "clip_seconds": 1.5,
            "clip_start_seconds": document["visual_token_start_seconds"],
            "features": chance.normal(size=(len(document["visual_tokens"]), 8)).tolist(),
            "num_dropped_clips": 0,
            "warnings": [],
        }
        for document in documents
    ]
    table = Table(root, FEATURES)
    table.create()
    file = table.write_file(pa.Table.from_pylist(rows, schema=FEATURES.schema))
    Committer(table, partition="fake").commit([file])
