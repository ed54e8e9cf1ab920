"""Ray Data builds the training shards: features + vocabulary + transcripts -> one document a video."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import torch

from vbert.distributed.attempts import actor_retries
from vbert.distributed.cluster import RewriteOnWorkers, connect, count_cpus, file_of, rows_to_commit
from vbert.documents.assembly import build_document
from vbert.errors import UserError, VideoError
from vbert.progress import Progress
from vbert.storage.files import stem_of, with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import DOCUMENTS, FEATURES, TRANSCRIPTS, VIDEOS, short_hash, unpack_vectors
from vbert.text.caption_files import read_caption_file
from vbert.text.speech import recognizer_id
from vbert.text.transcripts import Sentence, read_transcript
from vbert.vocabulary.tree import Vocabulary, load

# 32 videos of 5 minutes are 6,400 clips: 33 MB of features in a task, a shard of about 100 KB.
VIDEOS_PER_FILE = 32
SENTENCE_COLUMNS = ("sentences", "sentence_start_seconds", "sentence_end_seconds")
LEDGER_COLUMNS = [
    "video_id",
    "uri",
    "fingerprint",
    "transcript_uri",
    "transcript_fingerprint",
    "duration_seconds",
]
FILES = pa.schema(
    [
        ("path", pa.string()),
        ("partition", pa.string()),
        ("size_bytes", pa.int64()),
        ("num_rows", pa.int64()),
        ("stats", pa.string()),
        ("video_ids", pa.list_(pa.string())),
        ("num_tokens", pa.int64()),
        ("num_sentences", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class DocumentsConfig:
    """Turn features into documents: the visual tokens and the sentences of each video, in time order."""

    tables: str
    """Folder or bucket URL of the tables that featurize wrote."""
    vocabulary: str
    """Folder of the visual vocabulary, as fit_vocabulary printed it."""
    captions: str | None = None
    """One file with the captions of many videos (HowTo100M, YouCook2, ActivityNet Captions), matched by video
    id or file name; it goes before the transcripts beside the videos."""
    recognizer: str | None = None
    """What transcribe was given: its sentences go to videos that have no captions and no transcript."""


@dataclass(kw_only=True)
class DocumentsSummary:
    """What one run did, in documents unless the name says otherwise."""

    vocabulary: str
    num_built: int = 0
    num_unchanged: int = 0
    num_dropped: int = 0  # of videos that are gone, or no longer usable
    num_tokens: int = 0
    num_sentences: int = 0
    seconds: float = 0.0


def build_documents(config: DocumentsConfig) -> DocumentsSummary:
    """Bring the table `documents` up to date with the others, for one vocabulary. Nothing is decoded."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "vocabulary")
    vocabulary = load(config.vocabulary)
    captions = _captions(config.captions)
    videos = _usable_videos(config, vocabulary, captions)
    documents = Table(config.tables, DOCUMENTS)
    documents.create()
    here = documents.read(
        columns=["video_id", "fingerprint", "transcript_fingerprint"], partition=vocabulary.id
    )
    pending = _without(videos, here)
    known = set(here["video_id"].to_pylist())
    gone = known.difference(videos["video_id"].to_pylist())
    summary = DocumentsSummary(
        vocabulary=vocabulary.id, num_unchanged=videos.num_rows - pending.num_rows, num_dropped=len(gone)
    )
    rewrite = RewriteOnWorkers(config.tables, DOCUMENTS, partition=vocabulary.id)
    committer = Committer(documents, partition=vocabulary.id)
    committer.commit([], drop=gone, rewrite=rewrite(gone))
    if pending.num_rows:
        name = f"build-documents-{short_hash(vocabulary.id)}"
        with pinned(config.tables, name, job=f"build_documents of {vocabulary.id}"):
            for rows in _built_files(pending, config, captions):
                stale = known.intersection(video_id for row in rows for video_id in row["video_ids"])
                committer.commit([file_of(row) for row in rows], drop=stale, rewrite=rewrite(stale))
                summary.num_built += sum(row["num_rows"] for row in rows)
                summary.num_tokens += sum(row["num_tokens"] for row in rows)
                summary.num_sentences += sum(row["num_sentences"] for row in rows)
    summary.seconds = time.monotonic() - start_seconds
    return summary


def _captions(path: str | None) -> dict[str, list[Sentence]]:
    return read_caption_file(path) if path else {}


def _captions_of(video: Mapping[str, Any], captions: Mapping[str, list[Sentence]]) -> list[Sentence] | None:
    """By video id, else by the file's name without its extension; None if the file has none."""
    return captions.get(video["video_id"], captions.get(stem_of(video["uri"])))


def _usable_videos(
    config: DocumentsConfig, vocabulary: Vocabulary, captions: Mapping[str, list[Sentence]]
) -> pa.Table:
    """The ledger's videos that have features, with the fingerprint of the text that they will get."""
    ledger = Table(config.tables, VIDEOS).read(
        columns=[*LEDGER_COLUMNS, "num_clips"], partition=vocabulary.featurizer
    )
    usable = ledger.filter(pc.greater(ledger["num_clips"], 0)).select(LEDGER_COLUMNS)
    if usable.num_rows == 0:
        raise UserError(
            f"{config.tables}: no video with features of {vocabulary.featurizer}, "
            "which the vocabulary was fitted on; run featurize with the same options first"
        )
    spoken = _spoken_fingerprints(config)
    if not captions and not spoken:
        return usable
    fingerprints: list[str | None] = []
    for row in usable.to_pylist():
        found = _captions_of(row, captions)
        if found is not None:
            fingerprints.append(short_hash(repr(found)))
        elif row["transcript_uri"] is None:
            fingerprints.append(spoken.get((row["video_id"], row["fingerprint"])))
        else:
            fingerprints.append(row["transcript_fingerprint"])
    at = usable.schema.get_field_index("transcript_fingerprint")
    return usable.set_column(at, "transcript_fingerprint", pa.array(fingerprints, pa.string()))


def _spoken_fingerprints(config: DocumentsConfig) -> dict[tuple[str, str], str]:
    """Of the recognised text of a video and its version. UserError if nothing has been recognised."""
    if config.recognizer is None:
        return {}
    table, identity = Table(config.tables, TRANSCRIPTS), recognizer_id(config.recognizer)
    if not table.exists() or identity not in table.partitions():
        raise UserError(
            f"{config.tables}: has no transcripts of {config.recognizer}; run transcribe with it first"
        )
    rows = table.read(columns=["video_id", "fingerprint", "text_fingerprint"], partition=identity)
    return {(row["video_id"], row["fingerprint"]): row["text_fingerprint"] for row in rows.to_pylist()}


def _without(videos: pa.Table, documents: pa.Table) -> pa.Table:
    """Videos that have no document of the same video and text."""
    keys = [
        pc.binary_join_element_wise(
            table["video_id"], table["fingerprint"], pc.fill_null(table["transcript_fingerprint"], ""), " "
        )
        for table in (videos, documents)
    ]
    return videos.filter(pc.invert(pc.is_in(keys[0], keys[1].combine_chunks())))


def _built_files(
    pending: pa.Table, config: DocumentsConfig, captions: Mapping[str, list[Sentence]]
) -> Iterator[list[dict[str, Any]]]:
    """Build documents on all CPUs; rows of FILES, a list a commit."""
    connect()
    mine = {row["video_id"]: found for row in pending.to_pylist() if (found := _captions_of(row, captions))}
    videos = [pending.slice(at, VIDEOS_PER_FILE) for at in range(0, pending.num_rows, VIDEOS_PER_FILE)]
    built = ray.data.from_arrow(videos).map_batches(
        BuildDocuments,
        fn_constructor_kwargs={"config": config, "captions": ray.put(mine)},
        batch_format="pyarrow",
        batch_size=VIDEOS_PER_FILE,
        compute=ray.data.ActorPoolStrategy(size=min(count_cpus(), len(videos))),
        num_cpus=1,
        **actor_retries(),
    )
    return rows_to_commit(built, Progress("build_documents", total=pending.num_rows, unit="videos"))


class BuildDocuments:
    """An actor: rows of the ledger in, one file of their documents written, its row of FILES out."""

    def __init__(
        self, *, config: DocumentsConfig, captions: "ray.ObjectRef[dict[str, list[Sentence]]]"
    ) -> None:
        torch.set_num_threads(1)
        self.vocabulary = load(config.vocabulary)
        self.captions: dict[str, list[Sentence]] = ray.get(captions)
        self.features = Table(config.tables, FEATURES)
        self.recognizer = config.recognizer
        self.transcripts = Table(config.tables, TRANSCRIPTS)
        self.documents = Table(config.tables, DOCUMENTS)

    def __call__(self, videos: pa.Table) -> pa.Table:
        """Rows of LEDGER_COLUMNS -> one row of FILES."""
        segments = self._segments(videos["video_id"].to_pylist())
        self.spoken = self._spoken(videos["video_id"].to_pylist())
        rows = [self._document(video, segments[video["video_id"]]) for video in videos.to_pylist()]
        file = self.documents.write_file(pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
        facts = {
            "video_ids": [row["video_id"] for row in rows],
            "num_tokens": sum(len(row["visual_tokens"]) for row in rows),
            "num_sentences": sum(len(row["sentences"]) for row in rows),
        }
        return pa.Table.from_pylist([asdict(file) | facts], schema=FILES)

    def _segments(self, video_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The videos' segments, each with its visual tokens."""
        rows = self.features.read(
            columns=["video_id", "fingerprint", "clip_seconds", "clip_start_seconds", "features"],
            partition=self.vocabulary.featurizer,
            video_ids=video_ids,
        )
        tokens = self.vocabulary.assign(unpack_vectors(rows["features"]))
        segments = rows.drop_columns(["features"]).to_pylist()
        ends = np.cumsum([len(segment["clip_start_seconds"]) for segment in segments])
        found: dict[str, list[dict[str, Any]]] = {}
        for segment, mine in zip(segments, np.split(tokens, ends[:-1]), strict=True):
            found.setdefault(segment["video_id"], []).append(segment | {"tokens": mine})
        return found

    def _document(self, video: Mapping[str, Any], segments: list[dict[str, Any]]) -> dict[str, Any]:
        current = [segment for segment in segments if segment["fingerprint"] == video["fingerprint"]]
        return build_document(
            video,
            current,
            [segment["tokens"] for segment in current],
            self._sentences(video),
            vocabulary=self.vocabulary.id,
        )

    def _spoken(self, video_ids: Sequence[str]) -> dict[tuple[str, str], list[Sentence]]:
        """What was recognised in the videos, by id and fingerprint."""
        if self.recognizer is None:
            return {}
        rows = self.transcripts.read(
            columns=["video_id", "fingerprint", *SENTENCE_COLUMNS],
            partition=recognizer_id(self.recognizer),
            video_ids=video_ids,
        )
        return {
            (row["video_id"], row["fingerprint"]): [
                Sentence(text=text, start_seconds=start, end_seconds=end)
                for text, start, end in zip(*(row[name] for name in SENTENCE_COLUMNS), strict=True)
            ]
            for row in rows.to_pylist()
        }

    def _sentences(self, video: Mapping[str, Any]) -> list[Sentence]:
        if video["video_id"] in self.captions:
            return self.captions[video["video_id"]]
        if video["transcript_uri"] is None:
            return self.spoken.get((video["video_id"], video["fingerprint"]), [])
        try:
            return read_transcript(video["transcript_uri"])
        except VideoError:
            return []  # featurize has put the reason into the ledger
