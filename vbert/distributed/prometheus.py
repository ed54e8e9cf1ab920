"""What a cluster's Prometheus and logs learn of featurization: counted on the nodes where it happens.

Ray exports the metrics with `ray_` before their names; cluster/grafana-dashboard.json draws them.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from ray.util.metrics import Counter, Histogram

from vbert.features.segment_rows import Effort
from vbert.tables.parquet_files import NewFile

CLIPS = "vbert_clips"
DECODE_SECONDS = "vbert_decode_seconds"
BACKBONE_SECONDS = "vbert_backbone_seconds"
BYTES = "vbert_bytes_written"
FAILURES = "vbert_failed_videos"
COMMIT_SECONDS = "vbert_commit_seconds"
COMMIT_BOUNDARIES = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
LOGGED = ("video_id", "segment_index", "state", "num_clips", "num_dropped_clips", "stage", "reason")

# With RAY_LOGGING_CONFIG_ENCODING=JSON a line of Ray's logs has these names as fields, beside job and node.
logger = logging.getLogger(__name__)


class WorkerMetrics:
    """Of an actor: what it has done."""

    def __init__(self) -> None:
        self._clips = Counter(CLIPS, "Clips featurized.")
        self._decode_seconds = Counter(DECODE_SECONDS, "CPU seconds spent on decoding.")
        self._backbone_seconds = Counter(BACKBONE_SECONDS, "Seconds spent in the backbone.")
        self._bytes = Counter(BYTES, "Bytes of Parquet files written.")

    def add_segments(self, segments: pa.Table, effort: Effort) -> None:
        """Rows of SEGMENTS that are done or failed."""
        for row in segments.select(LOGGED).to_pylist():
            logger.info("segment %s", row["state"], extra=row)
            _add(self._clips, row["num_clips"] or 0 if row["state"] == "done" else 0)
        _add(self._decode_seconds, effort.decode_seconds)
        _add(self._backbone_seconds, effort.backbone_seconds)

    def add_file(self, file: NewFile) -> None:
        """One that was written."""
        _add(self._bytes, file.size_bytes)


class DriverMetrics:
    """Of a job: what came of its videos, and how long commits took."""

    def __init__(self) -> None:
        self._failures = Counter(
            FAILURES, "Videos not ok, by stage and reason.", tag_keys=("stage", "reason")
        )
        self._commit_seconds = Histogram(COMMIT_SECONDS, "Of one commit of both tables.", COMMIT_BOUNDARIES)

    def add_failure(self, video: Mapping[str, Any]) -> None:
        """A row of the ledger that is not ok; numbers in its reason are left out, which bounds how many there
        are."""
        reason = re.sub(r"\d+", "N", video["reason"] or "")[:80]
        self._failures.inc(1, {"stage": video["stage"] or "", "reason": reason})
        logger.info("video %s", video["status"], extra={"video_id": video["video_id"], "reason": reason})

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Around a commit."""
        start_seconds = time.monotonic()
        yield
        self._commit_seconds.observe(time.monotonic() - start_seconds)


def _add(counter: Counter, value: float) -> None:
    """Ray's counters refuse 0."""
    if value > 0:
        counter.inc(value)
