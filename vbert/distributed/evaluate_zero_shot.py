"""Actors classify labelled clips without having trained on a label, against three baselines."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from vbert.distributed.actors import blocks_of, outcomes_of_models
from vbert.distributed.cluster import connect
from vbert.distributed.examples import Videos
from vbert.errors import UserError
from vbert.model.checkpoint_files import CONFIG, check_pretrained, read_json
from vbert.storage.files import check_output, with_absolute_paths, write_json
from vbert.storage.records import read_records, require
from vbert.tasks.annotations import match_videos
from vbert.tasks.examples import clips_in_interval
from vbert.tasks.metrics import ranks, top_k
from vbert.tasks.zero_shot import KINDS, TEMPLATE, Classes, ZeroShotClassifier, check_template, word_counts

CLIP_COLUMNS = {
    "video_id": pa.string(),
    "start_seconds": pa.float64(),
    "end_seconds": pa.float64(),
    "verb": pa.string(),
    "object": pa.string(),
}
CLIPS_A_TASK = 256
# What a model sees of clips, by the column of the documents: tokens [length], features [length, F].
DTYPES: dict[str, Any] = {"visual_tokens": np.int64, "features": np.float16}
METHODS = ("cross-modal", "language prior", "frequency")


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig:
    """Tell what labelled clips show by filling in a sentence, with a model that has seen no label."""

    tables: str
    """Folder or bucket URL of the tables with the documents of the clips' videos."""
    model: str
    """Folder of a pretrained model, as pretrain printed it."""
    clips: str
    """File (.csv, .jsonl, .parquet) of the clips: video_id, start_seconds, end_seconds, verb, object. The
    words to choose from are the ones that occur in it."""
    template: str = TEMPLATE
    """The sentence to fill in."""
    output: str | None = None
    """File to write the metrics to, as JSON."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotSummary:
    """Top-1 and top-5 by method and kind, and what they were measured on."""

    num_clips: int
    num_missing: int
    num_verbs: int
    num_objects: int
    scores: dict[str, dict[str, float]]
    """scores["cross-modal"]["verb top-1"]"""
    seconds: float


def evaluate_zero_shot(config: ZeroShotConfig) -> ZeroShotSummary:
    """Score every clip with its video, without it, and by how often its words are said in training."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model")
    videos = _videos(config)
    listed = _clips(config.clips)
    check_template(config.template)
    clips = match_videos(listed, videos.read(["video_id", "uri"])).annotations
    documents = _documents(videos, clips["video_id"].to_pylist())
    rows = clips.to_pylist()
    seen = clips_of(rows, documents, "visual_tokens" if videos.featurizer is None else "features")
    shown = [(row, mine) for row, mine in zip(rows, seen, strict=True) if len(mine)]
    if not shown:
        raise UserError(
            f"{config.clips}: none of its {listed.num_rows} clips is in the documents of {config.tables}; "
            "are its video_id those of the table, or names of its files?"
        )
    classes = Classes(
        verbs=tuple(sorted({row["verb"] for row, _ in shown})),
        objects=tuple(sorted({row["object"] for row, _ in shown})),
    )
    if config.output:
        check_output(config.output, kind="file")
    places = _ranks(config, classes, shown) | _frequency_ranks(videos, classes, shown, clips)
    scores = {
        method: {f"{kind} top-{k}": top_k(places[method, kind], k) for kind in KINDS for k in (1, 5)}
        for method in METHODS
    }
    summary = ZeroShotSummary(
        num_clips=len(shown),
        num_missing=listed.num_rows - len(shown),
        num_verbs=len(classes.verbs),
        num_objects=len(classes.objects),
        scores=scores,
        seconds=time.monotonic() - start_seconds,
    )
    if config.output:
        write_json(config.output, asdict(summary))
    return summary


def _clips(source: str) -> pa.Table:
    return require(read_records(source, CLIP_COLUMNS, kind="list of clips"), source, *CLIP_COLUMNS)


def _videos(config: ZeroShotConfig) -> Videos:
    """The documents of the model's visual vocabulary, and the features of one that takes these instead."""
    facts = check_pretrained(config.model)
    if read_json(config.model, CONFIG).get("visual_feature_dim") is None:
        return Videos.latest(config.tables, vocabulary=facts["vocabulary"])
    if facts.get("featurizer") is None:
        raise UserError(f"{config.model}: does not say whose features it takes; pretrain it again")
    return Videos.latest(config.tables, vocabulary=facts["vocabulary"], featurizer=facts["featurizer"])


def _documents(videos: Videos, video_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By video, with `features` if they are wanted."""
    columns = ["video_id", "fingerprint", "visual_tokens", "visual_token_start_seconds", "clip_seconds"]
    rows = videos.read(columns, video_ids=sorted(set(video_ids))).to_pylist()
    if videos.features is not None:
        rows = videos.features.with_vectors(rows)
    return {row["video_id"]: row for row in rows}


def clips_of(
    asked: Sequence[Mapping[str, Any]], documents: Mapping[str, Mapping[str, Any]], column: str
) -> list[np.ndarray]:
    """What a column of the documents has in the time of each that is asked about, as a sentence of that time
    would take it: `visual_tokens` int64 [length], `features` float16 [length, F]."""
    found = []
    for clip in asked:
        document = documents[clip["video_id"]]
        first, last = clips_in_interval(document, clip["start_seconds"], clip["end_seconds"])
        found.append(np.asarray(document[column], DTYPES[column])[first:last])
    return found


Shown = Sequence[tuple[Mapping[str, Any], np.ndarray]]


def _ranks(config: ZeroShotConfig, classes: Classes, shown: Shown) -> dict[tuple[str, str], np.ndarray]:
    """Place of the true word by method and kind, computed on all GPUs or CPUs."""
    connect()
    rows = [
        {
            "number": number,
            "clips": clips.tobytes(),
            "verb": classes.verbs.index(clip["verb"]),
            "object": classes.objects.index(clip["object"]),
        }
        for number, (clip, clips) in enumerate(shown)
    ]
    blocks = blocks_of(rows, size=CLIPS_A_TASK)
    arguments = {"config": config, "classes": classes}
    found = outcomes_of_models(RankClips, blocks, arguments=arguments, cpus_a_model=1)
    ranked = pa.concat_tables(found).sort_by("number")
    return {(method, kind): ranked[f"{method} {kind}"].to_numpy() for method in METHODS[:2] for kind in KINDS}


class RankClips:
    """An actor: clips in, the places of their true words out."""

    def __init__(self, *, config: ZeroShotConfig, classes: Classes) -> None:
        from vbert.training.checkpoints import ready_to_ask  # on workers only: it takes seconds

        pretrained = ready_to_ask(config.model)
        self.feature_dim: int | None = pretrained.model.config.visual_feature_dim
        self.classifier = ZeroShotClassifier(
            pretrained.model, pretrained.vocabulary, classes, template=config.template
        )
        self.prior = self.classifier.scores([np.zeros(0, np.int64)], with_video=False)

    def __call__(self, clips: pa.Table) -> pa.Table:
        """Rows of number, clips, verb, object -> number, and a rank by method and kind."""
        scores = self.classifier.scores([self._unpacked(shown) for shown in clips["clips"].to_pylist()])
        columns: dict[str, Any] = {"number": clips["number"]}
        for kind in KINDS:
            truth = clips[kind].to_numpy()
            columns[f"cross-modal {kind}"] = ranks(scores[kind], truth)
            columns[f"language prior {kind}"] = ranks(self.prior[kind].repeat(len(truth), axis=0), truth)
        return pa.table(columns)

    def _unpacked(self, packed: bytes) -> np.ndarray:
        if self.feature_dim is None:
            return np.frombuffer(packed, DTYPES["visual_tokens"])
        return np.frombuffer(packed, DTYPES["features"]).reshape(-1, self.feature_dim)


def _frequency_ranks(
    videos: Videos, classes: Classes, shown: Shown, clips: pa.Table
) -> dict[tuple[str, str], np.ndarray]:
    """What always naming the words that training videos say most would give."""
    evaluated = set(clips["video_id"].to_pylist())
    sentences = [
        sentence
        for row in videos.read(["video_id", "sentences"]).to_pylist()
        if row["video_id"] not in evaluated
        for sentence in row["sentences"]
    ]
    found = {}
    for kind, words in (("verb", classes.verbs), ("object", classes.objects)):
        scores = word_counts(sentences, words)[None].repeat(len(shown), axis=0)
        found["frequency", kind] = ranks(scores, np.array([words.index(clip[kind]) for clip, _ in shown]))
    return found
