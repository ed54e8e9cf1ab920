"""Ray collects what a report shows: counts of visual tokens, frames of clips, what a model expects."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from tyro.conf import OmitArgPrefixes

from vbert.distributed.actors import outcomes_on_cpus
from vbert.distributed.attempts import retries_of
from vbert.distributed.cluster import connect
from vbert.distributed.report_worker import FramesInChild
from vbert.distributed.survey import survey_copies, survey_documents, survey_ledger, survey_signals
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import check_pretrained
from vbert.progress import Progress
from vbert.report.facts import (
    curves,
    usage,
    visible_words,
    words_of_tokens,
)
from vbert.report.health import Place, example_places, health_facts
from vbert.report.page import render
from vbert.storage.files import check_output, filesystem_of, with_absolute_paths, write_file
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, VIDEOS
from vbert.tasks.examples import evenly_spaced
from vbert.tasks.visual_prediction import forecast, next_clips, text_to_video
from vbert.training.metrics_log import read_metrics
from vbert.video.decode_child import DecodeLimits
from vbert.video.thumbnails import data_url
from vbert.vocabulary.tree import Vocabulary, load

CLIPS_A_DOCUMENT = 24
TOKENS_A_QUERY = 8
CLIPS_SEEN = 4
NOTHING_EXPECTED: dict[str, Any] = {"queries": [], "forecasts": []}
READ_COLUMNS = [
    *("video_id", "uri", "duration_seconds", "clip_seconds", "visual_tokens", "visual_token_start_seconds"),
    *("sentences", "sentence_start_seconds", "sentence_end_seconds"),
]


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """One HTML page about a corpus and, if there is one, a model: what is in the tables, as pictures."""

    tables: str
    """Folder or bucket URL of the tables."""
    vocabulary: str
    """Folder of the visual vocabulary that the documents were built with."""
    run: str | None = None
    """Folder of a pretraining run: its curves, and what its model expects to see."""
    evaluations: tuple[str, ...] = ()
    """JSON files of metrics, as evaluate_zero_shot and predict write them."""
    output: str = "report.html"
    """The page; it needs nothing else."""
    num_videos: int = 12
    """Documents to show, drawn by a hash."""
    num_tokens: int = 400
    """Visual tokens to show a frame of, the most frequent; all are listed."""
    num_queries: int = 60
    """Words to ask the model about, those that are seen best."""
    num_sampled: int = 2000
    """Documents from which the words of tokens are counted."""
    limits: OmitArgPrefixes[DecodeLimits] = field(default_factory=DecodeLimits)

    def __post_init__(self) -> None:
        require_at_least(self, 0, "num_videos", "num_tokens", "num_queries", "num_sampled")


@dataclass(frozen=True, kw_only=True)
class ReportSummary:
    """What the page shows."""

    output: str
    num_bytes: int
    num_tokens: int
    num_images: int
    num_missing_images: int
    num_problems: int
    seconds: float


def report(config: ReportConfig) -> ReportSummary:
    """Collect the facts and write the page."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "vocabulary")
    vocabulary = load(config.vocabulary)
    lines = _check_run(config.run, vocabulary) if config.run else []
    evaluations = [_evaluation(uri) for uri in config.evaluations]
    table = Table(config.tables, DOCUMENTS)
    if not table.files(partition=vocabulary.id):
        raise UserError(
            f"{config.tables}: has no documents of vocabulary {vocabulary.id}; run build_documents first"
        )
    check_output(config.output, kind="file")
    connect()
    counts, sampled, speech = survey_documents(
        table, partition=vocabulary.id, num_leaves=vocabulary.num_leaves, num_sampled=config.num_sampled
    )
    videos = Table(config.tables, VIDEOS)
    ledger = survey_ledger(videos, partition=vocabulary.featurizer)
    signals = survey_signals(Table(config.tables, FEATURES), partition=vocabulary.featurizer)
    copies = survey_copies(Table(config.tables, DUPLICATES), partition=vocabulary.featurizer)
    documents = table.read(columns=READ_COLUMNS, partition=vocabulary.id, video_ids=sampled).to_pylist()
    order = np.argsort(-counts, kind="stable").tolist()
    shown = documents[: config.num_videos]
    wanted = _exemplars(vocabulary, order[: config.num_tokens]) + _frames(shown)
    wanted += example_places(signals, copies)
    rows = videos.read(
        columns=["video_id", "uri"],
        partition=vocabulary.featurizer,
        video_ids={video_id for video_id, _ in wanted},
    )
    uris = dict(zip(*rows.to_pydict().values(), strict=True))
    images, numbers = decode_frames(wanted, uris, limits=config.limits)
    words = words_of_tokens(documents)
    texts = visible_words(words, count=config.num_queries)
    texts += sorted({text for document in shown for text in document["sentences"]})
    intervals = [document["visual_tokens"] for document in shown]
    model = expectations(config.run, texts, intervals) if config.run else NOTHING_EXPECTED
    facts = {
        "summary": list((ledger.summary() | usage(counts)).items()),
        "images": images,
        "tokens": {
            "ids": order,
            "counts": counts[order].tolist(),
            "words": [" ".join(words.get(token, [])) for token in order],
            "images": [numbers.get(_first_exemplar(vocabulary, token)) for token in order],
        },
        "documents": [_time_line(document, numbers) for document in shown],
        "curves": curves(lines),
        "evaluations": evaluations,
        "ledger": ledger.problems,
        "health": health_facts(signals, speech, copies, ledger.reasons, images=numbers, uris=uris),
        **model,
    }
    page = render(facts).encode()
    write_file(config.output, page)
    return ReportSummary(
        output=config.output,
        num_bytes=len(page),
        num_tokens=len(order),
        num_images=len(images),
        num_missing_images=len(set(wanted)) - len(numbers),
        num_problems=ledger.num_problems,
        seconds=time.monotonic() - start_seconds,
    )


def _check_run(run: str, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The run's lines of metrics. UserError unless it has a model, and that of these visual words."""
    model = f"{run.rstrip('/')}/model"
    known = check_pretrained(model)["vocabulary"]
    if known != vocabulary.id:
        raise UserError(
            f"{model}: knows the visual vocabulary {known}, and not {vocabulary.id}; give its own"
        )
    return read_metrics(run)


def _first_exemplar(vocabulary: Vocabulary, token: int) -> Place | None:
    clips = vocabulary.exemplars.get(token)
    return (clips[0].video_id, clips[0].start_seconds) if clips else None


def _exemplars(vocabulary: Vocabulary, tokens: Sequence[int]) -> list[Place]:
    return [place for token in tokens if (place := _first_exemplar(vocabulary, token)) is not None]


def _frames(documents: Sequence[Mapping[str, Any]]) -> list[Place]:
    found = []
    for document in documents:
        starts = document["visual_token_start_seconds"]
        found += [
            (document["video_id"], starts[at]) for at in evenly_spaced(len(starts), at_most=CLIPS_A_DOCUMENT)
        ]
    return found


def decode_frames(
    places: Sequence[Place], uris: Mapping[str, str], *, limits: DecodeLimits
) -> tuple[list[str], dict[Place | None, int]]:
    """The frame in the middle of each clip's first second as a data: URL, and where each place's is in the
    list. A video that is gone or broken has none."""
    times: dict[str, list[float]] = {}
    for video_id, seconds in sorted(set(places)):
        times.setdefault(video_id, []).append(seconds)
    rows = [
        {"video_id": video_id, "uri": uris[video_id], "times": mine}
        for video_id, mine in times.items()
        if video_id in uris
    ]
    tables = [pa.Table.from_pylist([row]) for row in rows]
    progress = Progress("report", total=len(rows), unit="videos")
    images: list[str] = []
    numbers: dict[Place | None, int] = {}
    if not tables:
        return images, numbers
    found = []
    for block in outcomes_on_cpus(FramesInChild, tables, arguments={"limits": limits}, retries=retries_of(1)):
        found += block.to_pylist()
        progress.advance(1)
    progress.finish()
    for row in sorted(found, key=lambda row: (row["video_id"], row["seconds"])):
        numbers[row["video_id"], row["seconds"]] = len(images)
        images.append(data_url(row["jpeg"]))
    return images, numbers


def _time_line(document: Mapping[str, Any], numbers: Mapping[Place | None, int]) -> dict[str, Any]:
    starts, tokens = document["visual_token_start_seconds"], document["visual_tokens"]
    sentences = zip(
        document["sentence_start_seconds"],
        document["sentence_end_seconds"],
        document["sentences"],
        strict=True,
    )
    return {
        "uri": document["uri"],
        "seconds": document["duration_seconds"] or (starts[-1] + document["clip_seconds"] if starts else 0),
        "num_clips": len(tokens),
        "clips": [
            [starts[at], tokens[at], numbers.get((document["video_id"], starts[at]))]
            for at in evenly_spaced(len(starts), at_most=CLIPS_A_DOCUMENT)
        ],
        "sentences": [list(sentence) for sentence in sentences],
    }


def expectations(run: str, texts: Sequence[str], documents: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What the run's model expects to see when texts are said, and after some clips of documents."""
    from vbert.training.checkpoints import ready_to_ask  # it takes seconds, and not every report has a model

    pretrained = ready_to_ask(f"{run.rstrip('/')}/model")
    model: Any = pretrained.model
    if model.config.visual_feature_dim is not None:
        return NOTHING_EXPECTED
    found: dict[str, Any] = {"queries": [], "forecasts": []}
    if texts:
        chances = text_to_video(model, pretrained.vocabulary, texts)
        found["queries"] = [{"text": t, "tokens": _best(row)} for t, row in zip(texts, chances, strict=True)]
    seen, followed = next_clips(documents, num_seen=CLIPS_SEEN)
    places = evenly_spaced(len(seen), at_most=len(documents))
    if len(places):
        chances = forecast(model, pretrained.vocabulary, [seen[at] for at in places])
        found["forecasts"] = [
            {"seen": seen[at], "followed": [int(followed[at])], "expected": _best(row)}
            for at, row in zip(places, chances, strict=True)
        ]
    return found


def _best(chances: np.ndarray) -> list[list[float]]:
    """The likeliest visual tokens with their probabilities."""
    order = np.argsort(-chances, kind="stable")[:TOKENS_A_QUERY]
    return [[int(token), round(float(chances[token]), 4)] for token in order]


def _evaluation(uri: str) -> dict[str, Any]:
    filesystem, path = filesystem_of(uri)
    if not filesystem.isfile(path):
        raise UserError(f"{uri}: is not there; --evaluations takes files of evaluate_zero_shot or predict")
    try:
        scores = json.loads(filesystem.cat_file(path))["scores"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{uri}: has no `scores`; give a file of evaluate_zero_shot or predict") from error
    return {"name": "/".join(path.rsplit("/", 3)[-3:]), "scores": scores}
