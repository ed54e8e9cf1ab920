"""Continuous features instead of visual tokens: the same sequences, whose clips are vectors.

Sequences are made as always, from clips that are numbered in their window as if they were visual tokens.
Then the numbers become one id, "a clip", and the vectors travel beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from vbert.documents.sequences import IGNORED, NO_CLIP
from vbert.tables.delta import Table
from vbert.tables.schemas import unpack_vectors
from vbert.text.joint_vocabulary import JointVocabulary

COLUMNS = ("video_id", "fingerprint", "clip_start_seconds", "features")


@dataclass(frozen=True, kw_only=True)
class FeatureReader:
    """Reads the vectors of documents' clips from a pinned version of the features table."""

    table: Table
    featurizer: str
    version: int

    def number_clips(self, documents: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Documents whose visual tokens are rows of the vectors float32 [num_clips, F].

        Documents of videos that have changed since are left out: their clips' vectors are gone.
        """
        rows = self.table.read(
            columns=COLUMNS,
            partition=self.featurizer,
            video_ids=sorted({str(document["video_id"]) for document in documents}),
            version=self.version,
        )
        vectors = unpack_vectors(rows["features"])
        number_of = {key: number for number, key in enumerate(_keys(rows))}
        numbered = []
        for document in documents:
            mine = [
                number_of.get((document["video_id"], document["fingerprint"], start))
                for start in document["visual_token_start_seconds"]
            ]
            if None not in mine:
                numbered.append({**document, "visual_tokens": mine})
        return numbered, vectors

    def with_vectors(self, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """All the documents with `features` float16 [num_clips, F], as the table has them. Those of videos
        that have changed since have no clips: their vectors are gone."""
        numbered, vectors = self.number_clips(documents)
        halves = vectors.astype(np.float16)  # exact: see schemas.FEATURES
        clips_of = {document["video_id"]: document["visual_tokens"] for document in numbered}
        nothing: dict[str, Any] = {"visual_tokens": [], "visual_token_start_seconds": []}
        return [
            {
                **document,
                **({} if document["video_id"] in clips_of else nothing),
                "features": halves[np.asarray(clips_of.get(document["video_id"], ()), np.int64)],
            }
            for document in documents
        ]


def _keys(rows: pa.Table) -> list[tuple[str, str, float]]:
    """What names each clip: its video, the video's fingerprint, its start."""
    return [
        (row["video_id"], row["fingerprint"], start)
        for row in rows.select(["video_id", "fingerprint", "clip_start_seconds"]).to_pylist()
        for start in row["clip_start_seconds"]
    ]


def attach_vectors(
    batch: Mapping[str, np.ndarray], vectors: np.ndarray, vocabulary: JointVocabulary
) -> dict[str, np.ndarray]:
    """A batch of numbered clips -> one of the id "a clip" and, beside it, of

    `vectors` float32 [clips of this batch, F], and `shown_clips` and `wanted_clips` int32 [num_rows,
    row_length]: which of them is the input of a position and which is to be predicted there, or -1.
    """
    offset = vocabulary.visual_offset
    shown = np.where(batch["input_ids"] >= offset, batch["input_ids"] - offset, NO_CLIP)
    wanted = np.where(batch["labels"] >= offset, batch["labels"] - offset, NO_CLIP)
    used = np.union1d(shown, wanted)
    used = used[used != NO_CLIP]

    def renumbered(clips: np.ndarray) -> np.ndarray:
        return np.where(clips == NO_CLIP, NO_CLIP, np.searchsorted(used, clips)).astype(np.int32)

    return {
        **batch,
        "input_ids": np.where(shown == NO_CLIP, batch["input_ids"], offset).astype(np.int32),
        "labels": np.where(wanted == NO_CLIP, batch["labels"], IGNORED).astype(np.int32),
        "vectors": vectors[used],
        "shown_clips": renumbered(shown),
        "wanted_clips": renumbered(wanted),
    }
