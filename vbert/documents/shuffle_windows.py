"""A window of documents -> micro-batches, read from a pinned version of the table."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vbert.documents.continuous import FeatureReader, attach_vectors
from vbert.documents.data_streams import Run, ShuffleWindow, in_share, split_evenly
from vbert.documents.packing import packed_rows
from vbert.documents.sequences import SequenceConfig, random_generator, sequences_of_documents
from vbert.tables.delta import Table
from vbert.text.joint_vocabulary import JointVocabulary


@dataclass(frozen=True, kw_only=True)
class ShuffleWindowReader:
    """Everything that turns a window into micro-batches; small enough to send to a worker."""

    table: Table
    vocabulary: JointVocabulary
    sequences: SequenceConfig
    seed: int
    rows_per_batch: int
    share_of_videos: float
    validation_share: float
    held_out: frozenset[str]
    """Videos that are never trained on, whatever their hash."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Of copies the video of their cluster that is kept, whose hash is theirs, too."""
    features: FeatureReader | None = None
    """Where clips' vectors are, for a model that takes them instead of visual tokens."""
    with_pairs: bool = False
    """Whether texts and videos come apart, for a model that tells which belong together."""

    def micro_batches(self, window: ShuffleWindow) -> list[dict[str, np.ndarray]]:
        """The window's sequences in micro-batches of about `rows_per_batch` rows (see packed_rows)."""
        documents = [row for row in self.documents(window.runs) if self.is_training(row["video_id"])]
        return self.batches_of(documents, epoch=window.epoch)

    def is_validation(self, video_id: str) -> bool:
        """Whether a video is kept out of training."""
        name = self.kept.get(video_id, video_id)
        return video_id in self.held_out or in_share("validation", name, self.validation_share)

    def is_training(self, video_id: str) -> bool:
        """Whether a video is trained on: not kept out, and of the share of videos that are wanted."""
        return not self.is_validation(video_id) and in_share("training", video_id, self.share_of_videos)

    def batches_of(self, documents: list[dict[str, Any]], *, epoch: int) -> list[dict[str, np.ndarray]]:
        """Micro-batches of some documents."""
        documents = sorted(documents, key=lambda row: str(row["video_id"]))
        vocabulary, vectors = self.vocabulary, None
        if self.features is not None:
            documents, vectors = self.features.number_clips(documents)
            vocabulary = replace(vocabulary, num_visual_tokens=len(vectors))
        sequences = sequences_of_documents(
            documents,
            vocabulary,
            self.sequences,
            seed=self.seed,
            epoch=epoch,
            with_pairs=self.with_pairs,
        )
        names = [document["video_id"] for document in documents[:1]]
        rows = packed_rows(
            sequences,
            vocabulary,
            row_length=self.sequences.row_length,
            chance=random_generator(self.seed, epoch, "rows", *names),
            with_pairs=self.with_pairs,
        )
        parts = split_evenly(len(rows["input_ids"]), at_most=self.rows_per_batch)
        batches = [{name: values[part] for name, values in rows.items()} for part in parts]
        return batches if vectors is None else [attach_vectors(b, vectors, vocabulary) for b in batches]

    def documents(self, runs: Collection[Run]) -> list[dict[str, Any]]:
        """The rows of some runs, each file opened once."""
        rows: dict[str, list[int]] = {}
        for run in runs:
            rows.setdefault(run.path, []).extend(range(run.first, run.first + run.num_rows))
        return [
            document
            for path, wanted in sorted(rows.items())
            for document in self.table.read_rows(path, sorted(wanted)).to_pylist()
        ]
