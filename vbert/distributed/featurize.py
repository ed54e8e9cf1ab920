"""Ray Data runs featurization: list -> compare -> probe -> decode and featurize on actors -> commit."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import tyro
from tyro.conf import OmitArgPrefixes

from vbert.corpus.changes import CORPUS, CorpusChanges, Listing, compare, look_at_corpus
from vbert.corpus.forgotten import without_forgotten
from vbert.distributed.attempts import task_retries
from vbert.distributed.backbone import Prepared, prepare_backbone
from vbert.distributed.cluster import RewriteOnWorkers, connect
from vbert.distributed.featurize_flow import Segments, count_segments, outcomes
from vbert.distributed.featurize_worker import file_of_row
from vbert.distributed.prometheus import DriverMetrics
from vbert.distributed.resources import AUTO, actor_range, check_gpus, require_gpu, waiting_told
from vbert.errors import UserError, require_at_least
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id, save_config
from vbert.features.kept_graphs import BackboneGraphs
from vbert.features.ledger import Ledger, MicroBatch, listed_before
from vbert.features.planning import check_transcripts, plan_videos
from vbert.features.pruning import PruneOptions, plan_pruning, returned
from vbert.features.segment_rows import check_decoder
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.pins import pinned
from vbert.tables.schemas import FEATURES, short_hash
from vbert.video.decode_child import DecodeLimits

LEDGER_COLUMNS = [
    *("video_id", "fingerprint", "transcript_uri", "transcript_fingerprint", "status", "gone_since"),
]
VIDEOS_PER_PROBE = 64  # one task: 64 headers, 16 at a time


@dataclass(frozen=True, kw_only=True)
class FeaturizeConfig(PruneOptions):
    """Decode and featurize every video that is new or has changed since the last run."""

    corpus: str
    """Folder, glob, or manifest (.parquet, .csv, .jsonl with a column `video`); local or a bucket's URL."""
    tables: str
    """Folder or bucket URL of the tables; made if it is not there."""
    featurizer: OmitArgPrefixes[FeaturizerConfig] = field(default_factory=FeaturizerConfig)
    limits: OmitArgPrefixes[DecodeLimits] = field(default_factory=DecodeLimits)
    retry_failed: bool = False
    """Try failed videos and segments again; without it they are tried again when their file changes."""
    content_hash: bool = False
    """Tell changed videos by content, not by size and time (or ETag); reads every file on every run."""
    language: str = "en"
    """Of the transcript to take where a video in a folder has several: a code or English name of ISO 639."""
    gpus: str = AUTO
    """auto: the GPUs that the cluster has, else its CPUs; a number: so many, for which the job waits until
    the cluster has started them; none: CPUs."""
    num_actors: Annotated[str | None, tyro.conf.arg(aliases=["--num-workers"])] = None
    """Featurizing actors, as 8, or the least and the most, as 1:64; default: one for each CPU of the cluster,
    or as many as its GPUs take."""
    gpus_per_worker: float = 1.0
    """Of each actor on a cluster with GPUs; with 0.5 two share one."""
    commit_seconds: float = 20.0
    """Commit finished segments this often: a killed job loses this much, and what is in the actors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gpus(self.gpus)
        actor_range(self.num_actors, "--num-actors")
        require_at_least(self, 0, "commit_seconds")
        if not 0 < self.gpus_per_worker <= 1:
            raise UserError(f"--gpus-per-worker must be above 0 and at most 1, got {self.gpus_per_worker}")


@dataclass(kw_only=True)
class FeaturizeSummary:
    """What one run did, in videos unless the name says otherwise."""

    featurizer: str
    listing: Listing
    num_listed: int
    num_unchanged: int
    num_new_transcripts: int
    num_removed: int  # no longer in the corpus
    num_dropped: int = 0  # of those: their rows are gone, too
    num_forgotten: int = 0  # in the corpus, and to be left alone
    num_ok: int = 0
    num_partial: int = 0
    num_failed: int = 0
    num_clips: int = 0
    seconds: float = 0.0
    # When the decoding of the first segment began, seconds since 1970.
    working_since: float | None = None
    working_seconds: float = 0.0  # from then to the last commit: the start of Ray and of the workers left out
    decode_seconds: float = 0.0  # of CPUs
    backbone_seconds: float = 0.0  # of actors: of a GPU's or a CPU's
    failures: list[str] = field(default_factory=list)


def featurize(config: FeaturizeConfig) -> FeaturizeSummary:
    """Bring the tables `videos` and `features` up to date with the corpus: one row a video, come what may."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables")
    config = replace(config, featurizer=with_absolute_paths(config.featurizer, "weights"))
    featurizer = featurizer_id(config.featurizer)
    listing = look_at_corpus(config.corpus, content_hash=config.content_hash, language=config.language)
    listed = listing.videos
    corpus = without_forgotten(listed, config.tables)
    before = listed_before(config.tables, featurizer=featurizer, columns=LEDGER_COLUMNS)
    changes = compare(corpus, before, retry_failed=config.retry_failed)
    going = plan_pruning(before, changes.removed, config, corpus=config.corpus)
    if changes.pending.num_rows:
        check_decoder(config.featurizer)
        backbone = BackboneGraphs(
            config.featurizer, tables=config.tables
        )  # refuses bad weights before a table is made
    rewrite = RewriteOnWorkers(config.tables, FEATURES, partition=featurizer)
    ledger = Ledger(config.tables, featurizer=featurizer, rewrite=rewrite)
    save_config(config.featurizer, config.tables)
    summary = FeaturizeSummary(
        featurizer=featurizer,
        num_listed=listed.num_rows,
        listing=listing,
        num_forgotten=listed.num_rows - corpus.num_rows,
        num_unchanged=changes.num_unchanged,
        num_new_transcripts=changes.transcript_changed.num_rows,
        num_removed=len(changes.removed),
    )
    if summary.num_new_transcripts:
        ledger.put_transcripts(check_transcripts(changes.transcript_changed))
    ledger.mark_gone(returned(before, changes.removed), since=None)
    ledger.mark_gone(going.mark, since=time.time())
    ledger.prune(going.drop)
    summary.num_dropped = len(going.drop)
    if changes.pending.num_rows:
        name = f"featurize-{short_hash(featurizer)}"
        with (
            pinned(config.tables, name, job=f"featurize of {featurizer}"),
            waiting_told("featurize", gpus=config.gpus),
        ):
            segments = plan(changes.pending, ledger, config=config)
            require_gpu(config.gpus)
            prepared = prepare_backbone(backbone, gpus=config.gpus)
            _featurize_and_commit(segments, ledger, changes, summary, config=config, prepared=prepared)
    summary.seconds = time.monotonic() - start_seconds
    return summary


def plan(pending: pa.Table, ledger: Ledger, *, config: FeaturizeConfig) -> Segments:
    """Join or start the cluster, and probe the videos: rows of SEGMENTS.

    All CPUs probe, and the rows stay in the cluster's object store; what one task would do, this process does
    while Ray starts.
    """
    options: dict[str, Any] = {
        "featurizer": ledger.featurizer,
        "clip_seconds": config.featurizer.clip_seconds,
        "segment_seconds": config.featurizer.segment_seconds,
        "limits": config.limits,
    }
    done = ledger.done_segments(pending["video_id"].to_pylist())
    videos = pending.select(CORPUS.names).sort_by("video_id")  # and so the files: see tables/selection.py
    if videos.num_rows <= VIDEOS_PER_PROBE:
        with ThreadPoolExecutor(max_workers=1) as beside:
            probing = beside.submit(plan_videos, videos, done, **options)
            connect(with_data=False)
            return probing.result()
    connect()
    there = ray.put(done)

    def plan_batch(batch: pa.Table) -> pa.Table:
        here = ray.get(there)
        mine = here.filter(pc.is_in(here["video_id"], batch["video_id"].combine_chunks()))
        return plan_videos(batch, mine, **options)

    blocks = [videos.slice(at, VIDEOS_PER_PROBE) for at in range(0, videos.num_rows, VIDEOS_PER_PROBE)]
    planned = ray.data.from_arrow(blocks).map_batches(plan_batch, batch_format="pyarrow", **task_retries())
    planned.set_name("vbert_probe")
    return planned.materialize()


def _featurize_and_commit(
    segments: Segments,
    ledger: Ledger,
    changes: CorpusChanges,
    summary: FeaturizeSummary,
    *,
    config: FeaturizeConfig,
    prepared: Prepared,
) -> None:
    progress = Progress("featurize", total=count_segments(segments), unit="segments")
    micro_batch = MicroBatch(ledger, listed=_ids(changes.pending, changes=["changed", "retried"]))
    metrics = DriverMetrics()
    last_commit_seconds = time.monotonic()
    for rows in outcomes(
        segments,
        tables=config.tables,
        config=config.featurizer,
        limits=config.limits,
        prepared=prepared,
        gpus=config.gpus,
        num_actors=actor_range(config.num_actors, "--num-actors"),
        gpus_per_worker=config.gpus_per_worker,
    ):
        _collect(rows, micro_batch, summary, metrics)
        progress.advance(sum(row["path"] is None for row in rows), note=f"{summary.num_failed} videos failed")
        if time.monotonic() - last_commit_seconds >= config.commit_seconds:
            with metrics.commit():
                micro_batch.commit()
            last_commit_seconds = time.monotonic()
    with metrics.commit():
        micro_batch.commit()
    summary.working_seconds = time.time() - (summary.working_since or time.time())
    progress.finish()


def _collect(
    rows: Iterable[dict[str, Any]], micro_batch: MicroBatch, summary: FeaturizeSummary, metrics: DriverMetrics
) -> None:
    """Files before segments: a video's last segment releases its files."""
    for row in sorted(rows, key=lambda row: row["path"] is None):
        if row["path"] is not None:
            micro_batch.add_file(file_of_row(row), replaces_video=row["replaces_video"])
            summary.working_since = min(summary.working_since or row["began_at"], row["began_at"])
            summary.decode_seconds += row["decode_seconds"] or 0.0
            summary.backbone_seconds += row["backbone_seconds"] or 0.0
            continue
        summary.num_clips += (row["num_clips"] or 0) if row["state"] == "done" else 0
        if (video := micro_batch.add_segment(row)) is None:
            continue
        name = f"num_{video['status']}"
        setattr(summary, name, getattr(summary, name) + 1)
        if video["status"] != "ok":
            metrics.add_failure(video)
            summary.failures.append(f"{video['uri']}: {video['stage']}: {video['reason']}")


def _ids(pending: pa.Table, *, changes: Sequence[str]) -> set[str]:
    return set(pending.filter(pc.is_in(pending["change"], pa.array(changes)))["video_id"].to_pylist())
