"""Ray runs featurization: list -> compare -> probe -> decode and featurize on actors -> commit."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pyarrow as pa
import tyro
from tyro.conf import OmitArgPrefixes

from vbert.corpus.changes import LEDGER_COLUMNS, CorpusChanges, compare
from vbert.corpus.forgotten import without_forgotten
from vbert.corpus.set_aside import SetAside
from vbert.corpus.sources import corpus_parts
from vbert.distributed.backbone import Prepared, prepare_backbone
from vbert.distributed.cluster import RewriteOnWorkers
from vbert.distributed.featurize_flow import count_segments, outcomes
from vbert.distributed.featurize_plan import PROBE_CPUS, Segments, plan
from vbert.distributed.featurize_worker import SECONDS, file_of_row
from vbert.distributed.joining import SmallFiles
from vbert.distributed.prometheus import DriverMetrics
from vbert.distributed.resources import (
    AUTO,
    NONE,
    actor_range,
    check_gpus,
    count_gpus,
    require_gpu,
    waiting_told,
)
from vbert.errors import UserError, require_at_least
from vbert.features.backbone_process import BackboneGraphs
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id, save_config
from vbert.features.ledger import Ledger, MicroBatch
from vbert.features.planning import check_transcripts
from vbert.features.pruning import PruneOptions, PrunePlan, plan_pruning
from vbert.features.segment_rows import check_decoder
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.pins import pinned
from vbert.tables.schemas import FEATURES, short_hash
from vbert.video.decode import NVDEC
from vbert.video.decode_child import DecodeLimits

FAILURES_TOLD = 10  # the ledger has them all


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
    """Featurizing actors, as 8, or the least and the most, as 1:64: each that is up brings two more while
    there is work for them. Work begins with the first that a node has room for. Default: one for each CPU of
    the cluster, or as many as its GPUs take, but for few clips no more than one for 20 of them."""
    gpus_per_worker: float = 1.0
    """Of each actor on a cluster with GPUs; with 0.5 two share one."""
    compile: bool = False
    """On GPUs: torch.compile for the backbone, which takes each actor a minute when it starts."""
    commit_seconds: float = 20.0
    """Commit finished segments this often: a killed job loses this much, and what is in the actors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gpus(self.gpus)
        actor_range(self.num_actors, "--num-actors")
        require_at_least(self, 0, "commit_seconds")
        if not 0 < self.gpus_per_worker <= 1:
            raise UserError(f"--gpus-per-worker must be above 0 and at most 1, got {self.gpus_per_worker}")
        if self.gpus == NONE:
            _refuse_without_gpus(self)


def _refuse_without_gpus(config: FeaturizeConfig) -> None:
    """UserError for options that only GPUs know."""
    asked = [("--compile", config.compile), ("--decoder nvdec", config.featurizer.decoder == NVDEC)]
    if refused := [option for option, is_asked in asked if is_asked]:
        raise UserError(f"{refused[0]}: wants GPUs, and there is none to use; leave it out, or say --gpus 1")


@dataclass(kw_only=True)
class FeaturizeSummary:
    """What one run did, in videos unless the name says otherwise."""

    featurizer: str
    set_aside: SetAside
    num_listed: int
    num_unchanged: int
    num_new_transcripts: int
    num_removed: int  # no longer in the corpus
    num_dropped: int = 0  # of those: their rows are gone, too
    num_ok: int = 0
    num_partial: int = 0
    num_failed: int = 0
    num_clips: int = 0
    seconds: float = 0.0
    # When the decoding of the first segment began, seconds since 1970.
    working_since: float | None = None
    working_seconds: float = 0.0  # from then to the last commit: the start of Ray and of the workers left out
    decode_seconds: float = 0.0  # of CPUs
    backbone_seconds: float = 0.0  # of actors: what a CPU computes, or a GPU is waited for
    wait_seconds: float = 0.0  # of actors, for clips
    failures: list[str] = field(default_factory=list)  # the first of them


def featurize(config: FeaturizeConfig) -> FeaturizeSummary:
    """Bring the tables `videos` and `features` up to date with the corpus: one row a video, come what may."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables")
    config = replace(config, featurizer=with_absolute_paths(config.featurizer, "weights"))
    featurizer = featurizer_id(config.featurizer)
    set_aside = SetAside()
    videos = corpus_parts(
        config.corpus, set_aside, content_hash=config.content_hash, language=config.language
    )
    rewrite = RewriteOnWorkers(config.tables, FEATURES, partition=featurizer)
    ledger = Ledger(config.tables, featurizer=featurizer, rewrite=rewrite)
    before = ledger.listed_before(LEDGER_COLUMNS)
    changes = compare(
        without_forgotten(videos, config.tables, set_aside), before, retry_failed=config.retry_failed
    )
    going = _going(changes, config)
    if changes.num_pending:
        check_decoder(config.featurizer)
        backbone = BackboneGraphs(
            config.featurizer, tables=config.tables
        )  # refuses bad weights before a table is made
    ledger.make()
    save_config(config.featurizer, config.tables)
    summary = FeaturizeSummary(
        featurizer=featurizer,
        num_listed=changes.num_listed + set_aside.num_forgotten,
        set_aside=set_aside,
        num_unchanged=changes.num_unchanged,
        num_new_transcripts=changes.num_new_transcripts,
        num_removed=changes.num_removed,
    )
    for part in changes.new_transcripts():
        ledger.put_transcripts(check_transcripts(part))
    ledger.mark_gone(changes.returned(), since=None)
    ledger.mark_gone(going.mark, since=time.time())
    ledger.prune(going.drop)
    summary.num_dropped = len(going.drop)
    if changes.num_pending:
        name = f"featurize-{short_hash(featurizer)}"
        with (
            pinned(config.tables, name, job=f"featurize of {featurizer}"),
            waiting_told("featurize", gpus=config.gpus),
        ):
            segments = plan(changes, ledger, config=config.featurizer, limits=config.limits)
            require_gpu(config.gpus)
            if not count_gpus(config.gpus):
                _refuse_without_gpus(config)
            prepared = prepare_backbone(backbone, gpus=config.gpus)
            _featurize_and_commit(
                segments, ledger, summary, num_videos=changes.num_pending, config=config, prepared=prepared
            )
    summary.seconds = time.monotonic() - start_seconds
    return summary


def _going(changes: CorpusChanges, config: FeaturizeConfig) -> PrunePlan:
    """Which videos are to be marked as gone and to be dropped; refused before a table is made."""
    if not config.prune:
        return PrunePlan(mark=[], drop=[])
    return plan_pruning(changes.removed(), config, num_known=changes.num_known, corpus=config.corpus)


def _featurize_and_commit(
    segments: Segments,
    ledger: Ledger,
    summary: FeaturizeSummary,
    *,
    num_videos: int,
    config: FeaturizeConfig,
    prepared: Prepared,
) -> None:
    # How many segments there are is known of a few videos; of many, as they are probed.
    by_segment = isinstance(segments, pa.Table)
    progress = Progress(
        "featurize",
        total=count_segments(segments) if by_segment else num_videos,
        unit="segments" if by_segment else "videos",
    )
    micro_batch = MicroBatch(ledger)
    small_files = [
        SmallFiles(committer, num_cpus=PROBE_CPUS)
        for committer in (ledger.feature_commits, ledger.video_commits)
    ]
    metrics = DriverMetrics()
    last_commit_seconds = time.monotonic()
    for rows in outcomes(
        segments,
        num_videos=num_videos,
        tables=config.tables,
        config=config.featurizer,
        limits=config.limits,
        prepared=prepared,
        gpus=config.gpus,
        num_actors=actor_range(config.num_actors, "--num-actors"),
        gpus_per_worker=config.gpus_per_worker,
        compiled=config.compile,
    ):
        num_segments, num_finished = _collect(rows, micro_batch, summary, metrics)
        progress.advance(
            num_segments if by_segment else num_finished, note=f"{summary.num_failed} videos failed"
        )
        if time.monotonic() - last_commit_seconds >= config.commit_seconds:
            with metrics.commit():
                micro_batch.commit()
            for files in small_files:
                files.join()
            last_commit_seconds = time.monotonic()
    with metrics.commit():
        micro_batch.commit()
    for files in small_files:
        files.finish()
    summary.working_seconds = time.time() - (summary.working_since or time.time())
    progress.finish()


def _collect(
    rows: Iterable[dict[str, Any]], micro_batch: MicroBatch, summary: FeaturizeSummary, metrics: DriverMetrics
) -> tuple[int, int]:
    """How many segments are done, and how many videos with them.

    Files before segments: a video's last segment releases its files.
    """
    num_segments = num_finished = 0
    for row in sorted(rows, key=lambda row: row["path"] is None):
        if row["path"] is not None:
            micro_batch.add_file(file_of_row(row), replaces_video=row["replaces_video"])
            summary.working_since = min(summary.working_since or row["began_at"], row["began_at"])
            for name in SECONDS:
                setattr(summary, name, getattr(summary, name) + (row[name] or 0.0))
            continue
        num_segments += 1
        summary.num_clips += (row["num_clips"] or 0) if row["state"] == "done" else 0
        if (video := micro_batch.add_segment(row)) is None:
            continue
        num_finished += 1
        name = f"num_{video['status']}"
        setattr(summary, name, getattr(summary, name) + 1)
        if video["status"] != "ok":
            metrics.add_failure(video)
            if len(summary.failures) < FAILURES_TOLD:
                summary.failures.append(f"{video['uri']}: {video['stage']}: {video['reason']}")
    return num_segments, num_finished
