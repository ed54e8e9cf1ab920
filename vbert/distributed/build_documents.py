"""Ray builds the training shards: features + vocabulary + transcripts -> one document a video.

features files -> visual tokens, each file read once -> together by video -> sentences -> documents
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.corpus.sidecars import language_of
from vbert.distributed.actors import outcomes_on_cpus
from vbert.distributed.assign_tokens import TOKENS, Buckets, tokens_of
from vbert.distributed.attempts import actor_retries
from vbert.distributed.cluster import (
    RewriteOnWorkers,
    blocks_as_they_come,
    connect,
    file_of,
    in_commits,
)
from vbert.distributed.resources import count_cpus
from vbert.distributed.write_documents import COUNTED, Plan, WriteDocuments
from vbert.documents.exclusion import Exclusion
from vbert.duplicates.splits import kept_ids
from vbert.errors import UserError
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, TRANSCRIPTS, VIDEOS, short_hash
from vbert.text.caption_files import Captions, captions_of
from vbert.text.speech import recognizer_id
from vbert.vocabulary.tree import Vocabulary, load

# 1,024 videos of 5 minutes are a shard of 3 MB.
VIDEOS_PER_FILE = 1024
MIN_VIDEOS_PER_FILE = 32  # of a small run, whose files are two a CPU
FEW_CLIPS = 1_000_000  # 12 bytes each: the driver exchanges them itself, sooner than Ray Data has started
LEDGER_COLUMNS = [
    "video_id",
    "uri",
    "fingerprint",
    "transcript_uri",
    "transcript_fingerprint",
    "duration_seconds",
    "num_clips",
]


@dataclass(frozen=True, kw_only=True)
class DocumentsConfig:
    """Turn features into documents: the visual tokens and the sentences of each video, in time order."""

    tables: str
    """Folder or bucket URL of the tables that featurize wrote."""
    vocabulary: str
    """Folder of the visual vocabulary, as fit_vocabulary printed it."""
    captions: str | None = None
    """One file with the captions of many videos (HowTo100M, YouCook2, ActivityNet Captions), by video id,
    else file name, else that with or without `v_`; it goes before the transcripts beside the videos, but for
    those of which it says nothing."""
    recognizer: str | None = None
    """What transcribe was given: its sentences go to videos that have no captions and no transcript."""
    exclude: tuple[Exclusion, ...] = ()
    """What to leave out: clips that are black, stand still (stills) or have cuts; videos whose speech is in
    other-languages, or that deduplicate calls copies (duplicates). Without the option all is there again."""
    language: str = "en"
    """The language that other-languages keeps, by a code or a name of ISO 639."""


@dataclass(kw_only=True)
class DocumentsSummary:
    """What one run did, in documents unless the name says otherwise."""

    vocabulary: str
    num_built: int = 0
    num_unchanged: int = 0
    num_dropped: int = 0  # of videos that are gone, or no longer usable
    num_postponed: int = 0  # their features were replaced while this ran
    num_ambiguous: int = 0  # names in the file of captions that mean several videos, and so none
    num_tokens: int = 0
    num_sentences: int = 0
    num_duplicates: int = 0  # left out, of those built, like all that follow
    num_other_languages: int = 0
    num_black: int = 0  # clips
    num_stills: int = 0
    num_cuts: int = 0
    seconds: float = 0.0


def build_documents(config: DocumentsConfig) -> DocumentsSummary:
    """Bring the table `documents` up to date with the others, for one vocabulary. Nothing is decoded."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "vocabulary")
    exclude = _exclude_as_text(config)
    vocabulary = load(config.vocabulary)
    videos = _usable_videos(config, vocabulary)
    captions, num_ambiguous = captions_of(videos, config.captions) if config.captions else ({}, 0)
    videos = _with_text_fingerprints(videos, captions, _spoken_fingerprints(config))
    videos = _with_copies_marked(videos, config, vocabulary)
    documents = Table(config.tables, DOCUMENTS)
    documents.create()
    here = documents.read(
        columns=["video_id", "fingerprint", "transcript_fingerprint", "exclude", "excluded_for"],
        partition=vocabulary.id,
    )
    pending = _without(videos, here, exclude)
    known = set(here["video_id"].to_pylist())
    gone = known.difference(videos["video_id"].to_pylist())
    summary = DocumentsSummary(
        vocabulary=vocabulary.id, num_unchanged=videos.num_rows - pending.num_rows, num_dropped=len(gone)
    )
    summary.num_ambiguous = num_ambiguous
    rewrite = RewriteOnWorkers(config.tables, DOCUMENTS, partition=vocabulary.id)
    committer = Committer(documents, partition=vocabulary.id)
    committer.commit([], drop=gone, rewrite=rewrite(gone))
    if pending.num_rows:
        name = f"build-documents-{short_hash(vocabulary.id)}"
        with pinned(config.tables, name, job=f"build_documents of {vocabulary.id}"):
            for rows in _built_files(pending, config, vocabulary, captions):
                stale = known.intersection(video_id for row in rows for video_id in row["video_ids"])
                committer.commit([file_of(row) for row in rows], drop=stale, rewrite=rewrite(stale))
                summary.num_built += sum(row["num_rows"] for row in rows)
                for name in COUNTED:
                    setattr(summary, name, getattr(summary, name) + sum(row[name] for row in rows))
        summary.num_postponed = pending.num_rows - summary.num_built
    summary.seconds = time.monotonic() - start_seconds
    return summary


def _usable_videos(config: DocumentsConfig, vocabulary: Vocabulary) -> pa.Table:
    """The ledger's videos that have features."""
    ledger = Table(config.tables, VIDEOS).read(columns=LEDGER_COLUMNS, partition=vocabulary.featurizer)
    usable = ledger.filter(pc.greater(ledger["num_clips"], 0))
    if usable.num_rows == 0:
        raise UserError(
            f"{config.tables}: no video with features of {vocabulary.featurizer}, "
            "which the vocabulary was fitted on; run featurize with the same options first"
        )
    return usable


def _with_text_fingerprints(
    videos: pa.Table, captions: Captions, spoken: Mapping[tuple[str, str], str]
) -> pa.Table:
    """The same with the fingerprint of the text that they will get."""
    if not captions and not spoken:
        return videos
    fingerprints: list[str | None] = []
    for row in videos.to_pylist():
        if row["video_id"] in captions:
            fingerprints.append(short_hash(repr(captions[row["video_id"]])))
        elif row["transcript_uri"] is None:
            fingerprints.append(spoken.get((row["video_id"], row["fingerprint"])))
        else:
            fingerprints.append(row["transcript_fingerprint"])
    at = videos.schema.get_field_index("transcript_fingerprint")
    return videos.set_column(at, "transcript_fingerprint", pa.array(fingerprints, pa.string()))


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


def _exclude_as_text(config: DocumentsConfig) -> str | None:
    """As documents have it: the options in a fixed order, with the language that they keep."""
    language = language_of(config.language)
    if language is None:
        raise UserError(
            f"--language {config.language}: is no language of ISO 639; give a code or an English name"
        )
    names = {"other-languages": f"other-languages-than-{language}"}
    return " ".join(names.get(name, name) for name in sorted(set(config.exclude))) or None


def _with_copies_marked(videos: pa.Table, config: DocumentsConfig, vocabulary: Vocabulary) -> pa.Table:
    """The same with `is_copy`: whether duplicates are left out, and it is one."""
    copies: dict[str, str] = {}
    if "duplicates" in config.exclude:
        table = Table(config.tables, DUPLICATES)
        if not table.exists() or vocabulary.featurizer not in table.partitions():
            raise UserError(
                f"{config.tables}: --exclude duplicates needs the copies of {vocabulary.featurizer}; run "
                "deduplicate first"
            )
        copies = kept_ids(config.tables, vocabulary.featurizer)
    return videos.append_column("is_copy", pc.is_in(videos["video_id"], pa.array(copies, pa.string())))


def _without(videos: pa.Table, documents: pa.Table, exclude: str | None) -> pa.Table:
    """Videos that have no document of the same video and text, built with the same left out."""
    is_copy = pc.fill_null(pc.equal(documents["excluded_for"], "duplicates"), False)
    wanted = videos.append_column("exclude", pa.repeat(pa.scalar(exclude, pa.string()), videos.num_rows))
    keys = [
        pc.binary_join_element_wise(
            table["video_id"],
            table["fingerprint"],
            pc.fill_null(table["transcript_fingerprint"], ""),
            pc.fill_null(table["exclude"], ""),
            pc.cast(table["is_copy"], pa.string()),
            " ",
        )
        for table in (wanted, documents.append_column("is_copy", is_copy))
    ]
    return videos.filter(pc.invert(pc.is_in(keys[0], keys[1].combine_chunks())))


def _built_files(
    pending: pa.Table,
    config: DocumentsConfig,
    vocabulary: Vocabulary,
    captions: Captions,
) -> Iterator[list[dict[str, Any]]]:
    """Build documents on all CPUs; rows of FILES, a list a commit."""
    is_few = pc.sum(pending["num_clips"]).as_py() <= FEW_CLIPS
    connect(with_data=not is_few)
    videos = pending.sort_by("video_id").combine_chunks()
    per_file = max(MIN_VIDEOS_PER_FILE, min(VIDEOS_PER_FILE, -(-videos.num_rows // (2 * count_cpus()))))
    buckets = Buckets(videos["video_id"].to_pylist(), size=per_file)
    tokens = tokens_of(
        buckets,
        tables=config.tables,
        vocabulary=config.vocabulary,
        featurizer=vocabulary.featurizer,
        exclude=config.exclude,
    )
    plan = Plan(
        tables=config.tables,
        vocabulary=vocabulary.id,
        recognizer=config.recognizer,
        videos=videos,
        videos_per_bucket=per_file,
        captions={name: captions[name] for name in videos["video_id"].to_pylist() if name in captions},
        exclude=config.exclude,
        exclude_as_text=_exclude_as_text(config),
        language=str(language_of(config.language)),
    )
    arguments = {"plan": ray.put(plan)}
    written = (_of_few if is_few else _of_many)(tokens, len(buckets), arguments)
    return in_commits(written, Progress("build_documents", total=videos.num_rows, unit="videos"))


def _of_few(
    tokens: "list[ray.ObjectRef[pa.Table]]", num_buckets: int, arguments: dict[str, Any]
) -> Iterator[pa.Table]:
    """Rows of FILES; the tokens pass through this process."""
    every = pa.concat_tables([TOKENS.empty_table(), *ray.get(tokens)])
    blocks = [every.filter(pc.equal(every["bucket"], bucket)) for bucket in range(num_buckets)]
    return outcomes_on_cpus(WriteDocuments, blocks, arguments=arguments)


def _of_many(
    tokens: "list[ray.ObjectRef[pa.Table]]", num_buckets: int, arguments: dict[str, Any]
) -> Iterator[pa.Table]:
    """The same; Ray Data's hash shuffle brings the tokens of each bucket together."""
    parts: list[Any] = tokens
    exchanged = ray.data.from_arrow_refs(parts).repartition(num_buckets, keys=["bucket"]).materialize()
    written: ray.data.Dataset = exchanged.map_batches(
        WriteDocuments,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(count_cpus(), num_buckets)),
        num_cpus=1,
        **actor_retries(),
    )
    return blocks_as_they_come(written)
