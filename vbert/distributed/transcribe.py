"""Ray writes down what is said in videos that have no transcript."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import tyro
from tyro.conf import OmitArgPrefixes

from vbert.distributed.actors import outcomes_of_models
from vbert.distributed.attempts import Attempts, retries_of
from vbert.distributed.cluster import (
    RewriteOnWorkers,
    connect,
    file_of,
    in_commits,
)
from vbert.distributed.resources import AUTO, NONE, check_gpus, require_gpu, waiting_told
from vbert.errors import UserError, VideoError, require_at_least
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.storage.spilling import count_rows, create_table, read_parts, spilling_database
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import TRANSCRIPTS, VIDEOS, short_hash
from vbert.text.speech import make_recognizer, recognize, recognizer_id
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import worker_process

FAILURES_TOLD = 10  # the table has them all
VIDEOS_PER_FILE = 8  # of five minutes: a file every few minutes and worker, where speech takes real time
LEDGER = pa.schema(
    [VIDEOS.schema.field(name) for name in ("video_id", "uri", "fingerprint", "transcript_uri")]
)
PENDING = LEDGER.append(pa.field("is_known", pa.bool_()))  # an older file of it was listened to
HEARD = pa.schema([TRANSCRIPTS.schema.field(name) for name in ("video_id", "fingerprint")])
COMPARE = """
    create table pending as
    select usable.*, heard.video_id is not null as is_known from usable left join heard using (video_id)
    where heard.fingerprint is distinct from usable.fingerprint or heard.video_id is null
"""
FILES = pa.schema(
    [
        ("path", pa.string()),
        ("partition", pa.string()),
        ("size_bytes", pa.int64()),
        ("num_rows", pa.int64()),
        ("stats", pa.string()),
        ("known_ids", pa.list_(pa.string())),  # of its videos, those that have an older row
        ("statuses", pa.list_(pa.string())),
        ("failures", pa.list_(pa.string())),
        ("num_sentences", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class TranscribeConfig:
    """Recognise the speech of videos that have no transcript; rerun, only of what is new or has changed."""

    tables: str
    """Folder or bucket URL of the tables that featurize wrote."""
    featurizer: str | None = None
    """Whose videos; needed only where the tables have several."""
    recognizer: str = "whisper:openai/whisper-small"
    """whisper:<name on the hub or folder>, or pocketsphinx (US English; its small model comes along)."""
    every_video: bool = False
    """Also videos that have a transcript."""
    gpus: str = AUTO
    """Of Whisper. auto: the GPUs that the cluster has, else its CPUs; a number: so many, for which the job
    waits until the cluster has started them; none: CPUs."""
    num_actors: Annotated[int | None, tyro.conf.arg(aliases=["--num-workers"])] = None
    """Recognising actors; default: one a GPU of the cluster, or one a CPU."""
    limits: OmitArgPrefixes[DecodeLimits] = field(default_factory=DecodeLimits)

    def __post_init__(self) -> None:
        check_gpus(self.gpus)
        require_at_least(self, 1, "num_actors")


@dataclass(kw_only=True)
class TranscribeSummary:
    """What one run did, in videos unless the name says otherwise."""

    recognizer: str
    num_unchanged: int = 0
    num_spoken: int = 0
    num_silent: int = 0
    num_failed: int = 0
    num_sentences: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)  # the first of them


def transcribe(config: TranscribeConfig) -> TranscribeSummary:
    """Bring the table `transcripts` up to date with the ledger, for one recogniser."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables")
    identity = recognizer_id(config.recognizer)
    summary = TranscribeSummary(recognizer=identity)
    table = Table(config.tables, TRANSCRIPTS)
    database = spilling_database()
    create_table(database, "usable", LEDGER, _videos(config))
    create_table(database, "heard", HEARD, table.parts_if_made(columns=HEARD.names, partition=identity))
    database.execute(COMPARE)
    num_pending = count_rows(database, "pending")
    summary.num_unchanged = count_rows(database, "usable") - num_pending
    if num_pending:
        # Its errors are said here and not on a worker, and before the table is made.
        make_recognizer(config.recognizer)
    table.create()
    if num_pending:
        connect()
        rewrite = RewriteOnWorkers(config.tables, TRANSCRIPTS, partition=identity)
        committer = Committer(table, partition=identity)
        name = f"transcribe-{short_hash(identity)}"
        progress = Progress("transcribe", total=num_pending, unit="videos")
        with (
            pinned(config.tables, name, job=f"transcribe with {identity}"),
            waiting_told("transcribe", gpus=config.gpus),
        ):
            require_gpu(config.gpus)
            # In the order of their ids, and so the files: see tables/selection.py.
            pending = read_parts(database, "select * from pending order by video_id", PENDING)
            for rows in _transcribed(pending, config, progress):
                stale = {video_id for row in rows for video_id in row["known_ids"]}
                committer.commit([file_of(row) for row in rows], drop=stale, rewrite=rewrite(stale))
                _count(rows, summary)
    summary.seconds = time.monotonic() - start_seconds
    return summary


def _videos(config: TranscribeConfig) -> Iterator[pa.Table]:
    """The ledger's videos that can be opened and, unless all are wanted, have no transcript."""
    ledger = Table(config.tables, VIDEOS)
    there = ledger.partitions()
    featurizer = config.featurizer or (there[0] if len(there) == 1 else None)
    if featurizer not in there:
        raise UserError(
            f"{config.tables}: give --featurizer, one of {', '.join(there) or 'those that featurize makes'}"
        )
    for rows in ledger.parts(columns=[*LEDGER.names, "status"], partition=featurizer):
        usable = rows.filter(pc.not_equal(rows["status"], "failed"))
        wanted = usable if config.every_video else usable.filter(pc.is_null(usable["transcript_uri"]))
        yield wanted


def _transcribed(
    pending: Iterable[pa.Table], config: TranscribeConfig, progress: Progress
) -> Iterator[list[dict[str, Any]]]:
    """Rows of FILES, a list a commit."""
    blocks = (
        part.slice(at, VIDEOS_PER_FILE) for part in pending for at in range(0, part.num_rows, VIDEOS_PER_FILE)
    )
    heard = outcomes_of_models(
        Transcribe,
        blocks,
        arguments={"tables": config.tables, "recognizer": config.recognizer, "limits": config.limits},
        num_actors=config.num_actors,
        cpus_a_model=1,
        gpus=config.gpus if config.recognizer.startswith("whisper") else NONE,
        retries=retries_of(VIDEOS_PER_FILE),
    )
    return in_commits(heard, progress)


class Transcribe:
    """An actor: rows of the ledger in, one file of their transcripts written, its row of FILES out."""

    def __init__(self, *, tables: str, recognizer: str, limits: DecodeLimits) -> None:
        self.process = worker_process(limits)
        self.identity = recognizer_id(recognizer)
        self.recognizer = make_recognizer(recognizer)
        self.table = Table(tables, TRANSCRIPTS)

    def __call__(self, videos: pa.Table) -> pa.Table:
        """Rows of PENDING -> one row of FILES."""
        attempts = Attempts("audio", videos["video_id"][0].as_py())
        rows = [self._row(video, attempts) for video in videos.to_pylist()]
        attempts.end()
        file = self.table.write_file(pa.Table.from_pylist(rows, schema=TRANSCRIPTS.schema))
        failed = [f"{row['uri']}: {row['reason']}" for row in rows if row["status"] == "failed"]
        facts = {
            "known_ids": videos.filter(videos["is_known"])["video_id"].to_pylist(),
            "statuses": [row["status"] for row in rows],
            "failures": failed,
            "num_sentences": sum(len(row["sentences"]) for row in rows),
        }
        return pa.Table.from_pylist([asdict(file) | facts], schema=FILES)

    def _row(self, video: Mapping[str, Any], attempts: Attempts) -> dict[str, Any]:
        """A row of TRANSCRIPTS, whatever the sound is like."""
        row = {
            "video_id": video["video_id"],
            "recognizer": self.identity,
            "uri": video["uri"],
            "fingerprint": video["fingerprint"],
            "reason": None,
        }
        try:
            attempts.begin(video["video_id"])
            sentences = recognize(self.process.sound_windows(video["uri"]), self.recognizer)
        except VideoError as error:
            # No sound is nothing wrong: a silent film.
            status = "silent" if error.reason == "no audio stream" else "failed"
            sentences, row["reason"] = [], error.reason
        else:
            status = "spoken" if sentences else "silent"
        return row | {
            "status": status,
            "text_fingerprint": short_hash(repr(sentences)) if sentences else None,
            "sentences": [sentence.text for sentence in sentences],
            "sentence_start_seconds": [sentence.start_seconds for sentence in sentences],
            "sentence_end_seconds": [sentence.end_seconds for sentence in sentences],
        }


def _count(rows: Sequence[Mapping[str, Any]], summary: TranscribeSummary) -> None:
    statuses = [status for row in rows for status in row["statuses"]]
    summary.num_spoken += statuses.count("spoken")
    summary.num_silent += statuses.count("silent")
    summary.num_failed += statuses.count("failed")
    summary.num_sentences += sum(row["num_sentences"] for row in rows)
    failures = [text for row in rows for text in row["failures"]]
    summary.failures += failures[: FAILURES_TOLD - len(summary.failures)]
