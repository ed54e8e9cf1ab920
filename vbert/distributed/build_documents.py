"""Ray builds the training shards: features + vocabulary + transcripts -> one document a video.

features files -> visual tokens, each file read once -> together by video -> sentences -> documents
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.corpus.sidecars import language_of
from vbert.distributed.actors import outcomes_on_cpus
from vbert.distributed.assign_tokens import TOKENS, AssignTokens, Buckets, tokens_of
from vbert.distributed.attempts import actor_retries
from vbert.distributed.cluster import (
    RewriteOnWorkers,
    blocks_as_they_come,
    connect,
    file_of,
    in_commits,
    quiet_data,
)
from vbert.distributed.resources import count_cpus
from vbert.distributed.write_documents import COUNTED, Plan, WriteDocuments
from vbert.documents.changes import CAPTIONED, COPIES, KNOWN, LEDGER_COLUMNS, SPOKEN, Comparison
from vbert.documents.exclusion import Exclusion
from vbert.duplicates.splits import kept_ids
from vbert.errors import UserError
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, TRANSCRIPTS, VIDEOS, short_hash
from vbert.text.caption_files import Captions, captions_of
from vbert.text.speech import recognizer_id
from vbert.vocabulary.tree import Vocabulary, load

# 1,024 videos of 5 minutes are a shard of 3 MB.
VIDEOS_PER_FILE = 1024
MIN_VIDEOS_PER_FILE = 32  # of a small run, whose files are two a CPU
VIDEOS_HERE, CLIPS_HERE = 64, 65_536  # at most: a night's, built before Ray had started
FEW_CLIPS = 1_000_000  # 12 bytes each: the driver exchanges them itself, sooner than Ray Data has started
FACTS = ["uri", "duration_seconds"]  # of the ledger, which are not compared
# Built together: 0.4 KB each in the driver, and their tokens in the object store.
VIDEOS_PER_PART = 2**20


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
    num_late_sentences: int = 0  # of these, after their video's end
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
    usable = _UsableVideos(config.tables, vocabulary.featurizer)
    comparison = Comparison(usable.parts(LEDGER_COLUMNS))
    captions, num_ambiguous = _captions(config, usable)
    documents = Table(config.tables, DOCUMENTS)
    documents.create()
    # Before they are read: another build of the same documents that comes in between is noticed.
    committer = Committer(documents, partition=vocabulary.id)
    changes = comparison.changes(
        captioned=[_fingerprints(captions)],
        spoken=_spoken(config),
        copies=[_copies(config, vocabulary)],
        known=documents.parts(columns=KNOWN.names, partition=vocabulary.id),
        exclude=exclude,
    )
    gone = changes.gone()
    summary = DocumentsSummary(
        vocabulary=vocabulary.id,
        num_unchanged=changes.num_unchanged,
        num_dropped=len(gone),
        num_ambiguous=num_ambiguous,
    )
    rewrite = RewriteOnWorkers(config.tables, DOCUMENTS, partition=vocabulary.id)
    if gone:
        committer.commit([], drop=gone, rewrite=rewrite(gone))
    if changes.num_pending:
        name = f"build-documents-{short_hash(vocabulary.id)}"
        progress = Progress("build_documents", total=changes.num_pending, unit="videos")
        with pinned(config.tables, name, job=f"build_documents of {vocabulary.id}"):
            for videos in changes.pending(at_most=VIDEOS_PER_PART):
                known = set(videos.filter(videos["is_known"])["video_id"].to_pylist())
                for rows in _built_files(usable.with_facts(videos), config, vocabulary, captions, progress):
                    stale = known.intersection(video_id for row in rows for video_id in row["video_ids"])
                    committer.commit([file_of(row) for row in rows], drop=stale, rewrite=rewrite(stale))
                    summary.num_built += sum(row["num_rows"] for row in rows)
                    for name in COUNTED:
                        setattr(summary, name, getattr(summary, name) + sum(row[name] for row in rows))
        summary.num_postponed = changes.num_pending - summary.num_built
    summary.seconds = time.monotonic() - start_seconds
    return summary


class _UsableVideos:
    """The ledger's videos that have features."""

    def __init__(self, tables: str, featurizer: str) -> None:
        self.tables = tables
        self.featurizer = featurizer
        self._table = Table(tables, VIDEOS)
        self._paths = self._table.paths(partition=featurizer)

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of each file, whose number is in the column `file`. UserError if there are none."""
        num_usable = 0
        wanted = list({*columns, "num_clips"})
        for number, rows in enumerate(self._table.read_each(self._paths, columns=wanted)):
            usable = rows.filter(pc.greater(rows["num_clips"], 0)).select(columns)
            num_usable += usable.num_rows
            yield usable.append_column("file", pa.repeat(number, usable.num_rows).cast(pa.int32()))
        if not num_usable:
            raise UserError(
                f"{self.tables}: no video with features of {self.featurizer}, "
                "which the vocabulary was fitted on; run featurize with the same options first"
            )

    def with_facts(self, videos: pa.Table) -> pa.Table:
        """Rows of PENDING with the columns FACTS, sorted by id."""
        paths = [self._paths[number] for number in videos["file"].unique().to_pylist()]
        parts = self._table.read_each(paths, columns=["video_id", *FACTS])
        return videos.join(pa.concat_tables(parts), "video_id", join_type="inner").sort_by("video_id")


def _captions(config: DocumentsConfig, videos: _UsableVideos) -> tuple[Captions, int]:
    """What `captions_of` finds in the file."""
    if config.captions is None:
        return {}, 0
    return captions_of(pa.concat_tables(videos.parts(["video_id", "uri"])), config.captions)


def _fingerprints(captions: Captions) -> pa.Table:
    fingerprints = [short_hash(repr(sentences)) for sentences in captions.values()]
    return pa.table([list(captions), fingerprints], schema=CAPTIONED)


def _spoken(config: DocumentsConfig) -> Iterator[pa.Table]:
    """Videos and fingerprints of what was recognised in them. UserError if nothing has been."""
    if config.recognizer is None:
        return
    table, identity = Table(config.tables, TRANSCRIPTS), recognizer_id(config.recognizer)
    if not table.exists() or identity not in table.partitions():
        raise UserError(
            f"{config.tables}: has no transcripts of {config.recognizer}; run transcribe with it first"
        )
    yield from table.parts(columns=SPOKEN.names, partition=identity)


def _exclude_as_text(config: DocumentsConfig) -> str | None:
    """As documents have it: the options in a fixed order, with the language that they keep."""
    language = language_of(config.language)
    if language is None:
        raise UserError(
            f"--language {config.language}: is no language of ISO 639; give a code or an English name"
        )
    names = {"other-languages": f"other-languages-than-{language}"}
    return " ".join(names.get(name, name) for name in sorted(set(config.exclude))) or None


def _copies(config: DocumentsConfig, vocabulary: Vocabulary) -> pa.Table:
    """Videos that are left out as copies of others."""
    copies: dict[str, str] = {}
    if "duplicates" in config.exclude:
        table = Table(config.tables, DUPLICATES)
        if not table.exists() or vocabulary.featurizer not in table.partitions():
            raise UserError(
                f"{config.tables}: --exclude duplicates needs the copies of {vocabulary.featurizer}; run "
                "deduplicate first"
            )
        copies = kept_ids(config.tables, vocabulary.featurizer)
    return pa.table([list(copies)], schema=COPIES)


def _built_files(
    videos: pa.Table,
    config: DocumentsConfig,
    vocabulary: Vocabulary,
    captions: Captions,
    progress: Progress,
) -> Iterator[list[dict[str, Any]]]:
    """Build documents of videos, sorted by id; rows of FILES, a list a commit."""
    num_clips = pc.sum(videos["num_clips"]).as_py()
    is_handful = videos.num_rows <= VIDEOS_HERE and num_clips <= CLIPS_HERE
    per_file = VIDEOS_HERE
    if not is_handful:
        connect()
        per_file = max(MIN_VIDEOS_PER_FILE, min(VIDEOS_PER_FILE, -(-videos.num_rows // (2 * count_cpus()))))
    video_ids = videos["video_id"].to_pylist()
    buckets = Buckets(video_ids, size=per_file)
    plan = Plan(
        tables=config.tables,
        vocabulary=vocabulary.id,
        recognizer=config.recognizer,
        videos=videos.combine_chunks(),
        videos_per_bucket=per_file,
        captions={name: captions[name] for name in video_ids if name in captions},
        exclude=config.exclude,
        exclude_as_text=_exclude_as_text(config),
        language=str(language_of(config.language)),
    )
    if is_handful:
        return in_commits(_of_a_handful(plan, buckets, vocabulary), progress)
    tokens = tokens_of(buckets, tables=config.tables, vocabulary=vocabulary, exclude=config.exclude)
    written = (_of_few if num_clips <= FEW_CLIPS else _of_many)(tokens, len(buckets), {"plan": ray.put(plan)})
    return in_commits(written, progress)


def _of_a_handful(plan: Plan, buckets: Buckets, vocabulary: Vocabulary) -> Iterator[pa.Table]:
    """Rows of FILES; this process does it all."""
    features = Table(plan.tables, FEATURES)
    paths = features.paths_with(plan.videos["video_id"].to_pylist(), partition=vocabulary.featurizer)
    assign = AssignTokens(tables=plan.tables, vocabulary=vocabulary, buckets=buckets, exclude=plan.exclude)
    tokens = pa.concat_tables(assign(pa.table({"path": pa.array(paths, pa.string())})))
    yield from WriteDocuments(plan=plan)(tokens)


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
    quiet_data()
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
