"""Actors find videos for texts, and texts for videos, by a pretrained model's vectors or its alignment."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import faiss
import numpy as np
import pyarrow as pa
import ray

from vbert.distributed.actors import blocks_of, outcomes_of_models
from vbert.distributed.cluster import connect
from vbert.distributed.examples import Accounting, Videos, annotations_of, examples_of
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import visual_vocabulary_of
from vbert.progress import Progress
from vbert.storage.files import check_output, with_absolute_paths, write_json
from vbert.tasks.alignment import alignment_scores
from vbert.tasks.example_store import rows_of
from vbert.tasks.examples import Row
from vbert.tasks.joint_space import check_retrieval, embedded, is_pretrained_for_it, open_joint_space
from vbert.tasks.margins import Comparison, Metrics, compare
from vbert.tasks.retrieval import Retrieval, chance_metrics, metrics_of
from vbert.tasks.text_embeddings import SentenceEmbedder, TextEmbedder, WordVectors

TEXTS_A_TASK = 8
BEHIND = 1e6  # what the first stage has not found comes after all that it has


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """Find videos for texts and texts for videos with a pretrained model: recall at 1, 5 and 10."""

    tables: str
    """Folder or bucket URL of the tables with the documents of the videos."""
    model: str
    """Folder of a pretrained model. Of one that --model.contrastive-weight has taught vectors, their cosines
    are the scores of every text with every video; of another, and behind a first stage, its alignment's."""
    annotations: str
    """File or folder of annotations with captions, as of finetune."""
    dataset: str = "records"
    """As of finetune."""
    split: Literal["train", "validation", "test"] = "test"
    """Which annotations."""
    first_stage: str | None = None
    """Folder of a model with vectors, fine-tuned for retrieval or pretrained: only its nearest are scored,
    the rest comes behind."""
    num_candidates: int = 50
    """How many the first stage hands on, for each text and for each video."""
    sentence_encoder: str = "minilm"
    """BERT whose sentence embeddings compare texts with what is said: a baseline without video."""
    word_vectors: str | None = None
    """Text file of GloVe or word2vec vectors, for the same with these."""
    num_resamples: int = 100
    """As of predict."""
    output: str | None = None
    """File to write the metrics to, as JSON."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_candidates")
        require_at_least(self, 0, "num_resamples")


@dataclass(frozen=True, kw_only=True)
class RetrievalSummary:
    """Metrics by method; the pretrained model's own is `model`."""

    how: str
    """What of the pretrained model scores: its vectors or its alignment."""
    num_pairs: int
    accounting: Accounting
    comparison: Comparison
    seconds: float


def evaluate_retrieval(config: RetrievalConfig) -> RetrievalSummary:
    """Score every text with every video, or with the nearest of a first stage, and rank."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model", "first_stage")
    vocabulary = visual_vocabulary_of(config.model)
    if config.first_stage:
        _check_first_stage(config.first_stage, vocabulary)
    videos = Videos.latest(config.tables, vocabulary=vocabulary)
    if config.first_stage:
        videos = Videos.asked_about(config.tables, model=config.first_stage)
    annotations, accounting = annotations_of(
        videos,
        source=config.annotations,
        dataset=config.dataset,
        columns=Retrieval.columns,
        splits=[config.split],
    )
    embedders = _embedders(config)
    if config.output:
        check_output(config.output, kind="file")
    connect()
    rows = [
        row
        for block in examples_of(annotations, videos)
        for row in rows_of(block)
        if row["captions"] and row["visual_tokens"]
    ]
    if len(rows) < 2:
        raise UserError(
            f"{config.annotations}: {len(rows)} texts with a video in split {config.split} are too few"
        )
    rows = sorted(rows, key=lambda row: int(row["number"]))
    scores = _scores(config, rows, embedders)
    metrics = partial(_metrics, scores, rows)
    owners = [row["video_id"] for row in rows]
    comparison = compare(range(len(rows)), owners, metrics, num_resamples=config.num_resamples)
    summary = RetrievalSummary(
        how="cosine of vectors" if _has_vectors(config) else "alignment",
        num_pairs=len(rows),
        accounting=accounting,
        comparison=comparison,
        seconds=time.monotonic() - start_seconds,
    )
    if config.output:
        write_json(config.output, {**asdict(comparison), **asdict(accounting), "how": summary.how})
    return summary


def _check_first_stage(model: str, vocabulary: str) -> None:
    """UserError unless it is a model for retrieval, of the same visual words."""
    known = check_retrieval(model)
    if known != vocabulary:
        raise UserError(
            f"{model}: knows the visual vocabulary {known}, and --model {vocabulary}; give models of one "
            "vocabulary"
        )


def _embedders(config: RetrievalConfig) -> dict[str, TextEmbedder]:
    found: dict[str, TextEmbedder] = {"sentence embeddings": SentenceEmbedder(config.sentence_encoder)}
    if config.word_vectors:
        found["word vectors"] = WordVectors(config.word_vectors)
    return found


def _scores(
    config: RetrievalConfig, rows: Sequence[Row], embedders: dict[str, TextEmbedder]
) -> dict[str, np.ndarray]:
    """By method, float32 [num_texts, num_videos]."""
    texts, said = [row["captions"][0] for row in rows], [row["said"] for row in rows]
    found: dict[str, np.ndarray] = {}
    wanted = np.ones((len(rows), len(rows)), bool)
    behind = np.zeros((len(rows), len(rows)), np.float32)
    if config.first_stage:
        near, wanted = first_stage(config.first_stage, rows, num_candidates=config.num_candidates)
        found["first stage"] = near
        behind = np.where(wanted, 0, near - BEHIND)
    if _has_vectors(config):
        found["model"], _ = first_stage(config.model, rows, num_candidates=len(rows))
    else:
        found["model"] = np.where(wanted, _aligned(config.model, rows, wanted), behind)
    for name, embedder in embedders.items():
        found[f"{name} of what is said"] = embedder.embed(texts) @ embedder.embed(said).T
    return found


def _has_vectors(config: RetrievalConfig) -> bool:
    """Whether the pretrained model's vectors are asked, and not its alignment."""
    return config.first_stage is None and is_pretrained_for_it(config.model)


def _metrics(scores: dict[str, np.ndarray], rows: Sequence[Row], places: Sequence[int]) -> Metrics:
    """Of some texts and their videos."""
    captions = [rows[at]["captions"][0] for at in places]
    here = np.ix_(places, places)
    found = {name: metrics_of(matrix[here], captions) for name, matrix in scores.items()}
    return found | {"chance": chance_metrics(captions)}


def first_stage(model: str, rows: Sequence[Row], *, num_candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """Products of a model's vectors, float32 [num_texts, num_videos]; and bool, whether one is among the
    other's nearest, found by an index."""
    texts, shown = embedded(open_joint_space(model), rows)
    wanted = np.zeros((len(rows), len(rows)), bool)
    for asked, among, matrix in ((texts, shown, wanted), (shown, texts, wanted.T)):
        index = faiss.IndexFlatIP(among.shape[1])
        index.add(among)
        _, nearest = index.search(asked, min(num_candidates, len(rows)))
        matrix[np.arange(len(rows))[:, None], nearest] = True
    return texts @ shown.T, wanted


def _aligned(model: str, rows: Sequence[Row], wanted: np.ndarray) -> np.ndarray:
    """Alignment scores float32 [num_texts, num_videos] where they are wanted, on all GPUs or CPUs."""
    there = ray.put([row["visual_tokens"] for row in rows])
    asked = [
        {"text": at, "caption": row["captions"][0], "videos": np.flatnonzero(wanted[at]).tolist()}
        for at, row in enumerate(rows)
    ]
    blocks = blocks_of(asked, size=TEXTS_A_TASK)
    scored = outcomes_of_models(Align, blocks, arguments={"model": model, "shown": there})
    found = np.zeros(wanted.shape, np.float32)
    progress = Progress("evaluate_retrieval", total=len(rows), unit="texts")
    for block in scored:
        for row in block.to_pylist():
            found[row["text"], row["videos"]] = row["scores"]
        progress.advance(block.num_rows)
    progress.finish()
    return found


class Align:
    """An actor: rows of text, caption, videos in; text, videos, scores out."""

    def __init__(self, *, model: str, shown: "ray.ObjectRef[list[list[int]]]") -> None:
        from vbert.training.checkpoints import ready_to_ask  # on workers only: it takes seconds

        pretrained = ready_to_ask(model)
        self.model = pretrained.model
        self.vocabulary = pretrained.vocabulary
        self.shown: list[list[int]] = ray.get(shown)

    def __call__(self, texts: pa.Table) -> pa.Table:
        """All the pairs of some texts."""
        return pa.Table.from_pylist(list(self._scored(texts.to_pylist())))

    def _scored(self, texts: Sequence[Row]) -> Iterator[dict[str, Any]]:
        words = self.vocabulary.encode([row["caption"] for row in texts])
        for row, mine in zip(texts, words, strict=True):
            pairs = [(mine, self.shown[at]) for at in row["videos"]]
            scores = alignment_scores(self.model, self.vocabulary, pairs)
            yield {"text": row["text"], "videos": row["videos"], "scores": scores.tolist()}
