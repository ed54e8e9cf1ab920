"""What the workers of featurization run: segments in, files of their features and what became of them out."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vbert.distributed.attempts import Attempts
from vbert.distributed.backbone import Prepared, actor_featurizer
from vbert.distributed.prometheus import WorkerMetrics
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.planning import SEGMENTS
from vbert.features.provenance import provenance_of
from vbert.features.segment_rows import (
    DECODED,
    Begin,
    Effort,
    decode_segments,
    featurize_decoded,
    featurize_segments,
)
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import FEATURES
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import worker_process

FILE_COLUMNS = pa.schema(
    [
        ("path", pa.string()),  # null in a row of SEGMENTS; the other way round in a file's row
        ("partition", pa.string()),
        ("size_bytes_written", pa.int64()),
        ("num_rows", pa.int64()),
        ("stats", pa.string()),
        ("replaces_video", pa.string()),
        # When the decoding of its first segment began, seconds since 1970.
        ("began_at", pa.float64()),
        # Of all segments that were worked on together; in the row of their first file.
        ("decode_seconds", pa.float64()),
        ("backbone_seconds", pa.float64()),
        ("wait_seconds", pa.float64()),
    ]
)
SECONDS = ("decode_seconds", "backbone_seconds", "wait_seconds")
OUTCOMES = pa.unify_schemas([SEGMENTS, FILE_COLUMNS])


def decode_in_child(
    segments: pa.Table, *, config: FeaturizerConfig, limits: DecodeLimits
) -> Iterator[pa.Table]:
    """Rows of SEGMENTS -> of DECODED."""
    attempts = _attempts("decode", segments)
    process, begin = worker_process(limits), partial(_begin, attempts)
    yield from decode_segments(segments, config=config, process=process, begin=begin)
    attempts.end()


def _attempts(stage: str, segments: pa.Table) -> Attempts:
    first = segments.slice(0, 1).select(["video_id", "segment_index"])  # not its frames
    return Attempts(stage, _name_of(first.to_pylist()[0]))


def _begin(attempts: Attempts, segment: Mapping[str, Any]) -> None:
    attempts.begin(_name_of(segment))


def _name_of(segment: Mapping[str, Any]) -> str:
    return f"{segment['video_id']} {segment['segment_index']}"


class FeaturizeSegments:
    """An actor: rows of SEGMENTS or DECODED in, the same segments done or failed out, and a row for each
    file it wrote.

    The model is loaded once; features never leave the actor.
    """

    idle_since: float | None = None  # not before the first batch, for which the cluster starts

    def __init__(
        self,
        *,
        tables: str,
        config: FeaturizerConfig,
        limits: DecodeLimits,
        prepared: Prepared,
        compiled: bool,
    ) -> None:
        self.config = config
        self.process = worker_process(limits)
        self.metrics = WorkerMetrics()
        self.features = Table(tables, FEATURES)
        self.featurizer = actor_featurizer(config, prepared, compiled=compiled)
        self.provenance = provenance_of(self.featurizer)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Rows of SEGMENTS or DECODED -> rows of OUTCOMES."""
        effort = Effort()
        if self.idle_since is not None:
            effort.wait_seconds = time.monotonic() - self.idle_since
        attempts = _attempts("features", batch)
        segments, features = self.work(batch, effort, partial(_begin, attempts))
        attempts.end()
        self.metrics.add_segments(segments, effort)
        outcomes = [segments, self._write(segments, features, effort)]
        self.idle_since = time.monotonic()
        yield pa.concat_tables(outcomes, promote_options="default").cast(OUTCOMES)

    def work(self, batch: pa.Table, effort: Effort, begin: Begin) -> tuple[pa.Table, pa.Table]:
        """Rows of SEGMENTS or DECODED -> rows of SEGMENTS, none of them pending, and of FEATURES."""
        how: dict[str, Any] = {"config": self.config, "effort": effort, "begin": begin}
        if "frames" in batch.column_names:
            return featurize_decoded(batch.cast(DECODED), self.featurizer, **how)
        return featurize_segments(batch.cast(SEGMENTS), self.featurizer, process=self.process, **how)

    def _write(self, segments: pa.Table, features: pa.Table, effort: Effort) -> pa.Table:
        """One file for all new videos, one for each changed one: these are committed when they are whole."""
        pairs = zip(segments["video_id"].to_pylist(), segments["replaces"].to_pylist(), strict=True)
        changed = sorted({video_id for video_id, replaces in pairs if replaces})
        is_changed = pc.is_in(features["video_id"], pa.array(changed, pa.string()))
        groups: list[tuple[str | None, pa.Table]] = [(None, features.filter(pc.invert(is_changed)))]
        groups += [(name, features.filter(pc.equal(features["video_id"], name))) for name in changed]
        written = []
        for name, rows in groups:
            if rows.num_rows:
                file = self.features.write_file(rows, provenance=[self.provenance])
                self.metrics.add_file(file)
                written.append(_row_of(file, name) | {"began_at": effort.began_at})
        for row in written[:1]:
            row |= {name: getattr(effort, name) for name in SECONDS}
        return pa.Table.from_pylist(written, schema=FILE_COLUMNS)


def _row_of(file: NewFile, replaces_video: str | None) -> dict[str, Any]:
    row = asdict(file)
    return row | {"size_bytes_written": row.pop("size_bytes"), "replaces_video": replaces_video}


def file_of_row(row: dict[str, Any]) -> NewFile:
    """What a row of OUTCOMES says of a file."""
    return NewFile(
        path=row["path"],
        partition=row["partition"],
        size_bytes=row["size_bytes_written"],
        num_rows=row["num_rows"],
        stats=row["stats"],
    )
