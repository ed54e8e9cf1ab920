"""One video's way through the job: probe -> segment rows -> decoded and featurized -> its row in the ledger.

Each step takes rows and gives rows, so that any worker can do any part: `plan_videos` makes one row a
segment, `featurize_segments` fills it in, `ledger_row` sums a video's rows up.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from vbert.decode import decode_clips
from vbert.errors import VideoError
from vbert.features import Featurizer, FeaturizerConfig, clip_spec, usable
from vbert.frame_grid import Clip
from vbert.media import Segment, VideoProbe, plan_segments, probe_video
from vbert.schemas import FEATURES, VIDEOS, pack_vectors
from vbert.transcripts import read_transcript

# What a segment row says of its video: the ledger's columns that are known before the first frame.
VIDEO_COLUMNS = [
    name
    for name in VIDEOS.schema.names
    if name not in {"status", "stage", "reason", "num_clips", "num_dropped_clips", "failures"}
]
SEGMENTS = pa.schema(
    [VIDEOS.schema.field(name) for name in VIDEO_COLUMNS]
    + [
        ("replaces", pa.bool_()),  # rows of an older state of this video are in the features table
        (
            "transcript_reason",
            pa.string(),
        ),  # why the transcript cannot be used; null: it can, or there is none
        ("segment_index", pa.int32()),  # null: the video failed before it had segments
        ("first_clip", pa.int32()),
        ("num_planned_clips", pa.int32()),
        ("state", pa.string()),  # pending | done | failed
        ("num_clips", pa.int32()),
        ("num_dropped_clips", pa.int32()),
        ("segment_warnings", pa.list_(pa.string())),
        ("stage", pa.string()),  # of a failure
        ("reason", pa.string()),
    ]
)
# Opening a file in a bucket is waiting: 16 headers at a time keep one core busy at 50 ms a round trip.
PROBES_AT_ONCE = 16
PROBE_COLUMNS = ("duration_seconds", "fps", "width", "height", "codec", "pixel_format", "rotation")
NO_PROBE = dict.fromkeys(PROBE_COLUMNS) | {"warnings": []}


def plan_videos(pending: pa.Table, done: pa.Table, *, config: FeaturizerConfig, featurizer: str) -> pa.Table:
    """Probe videos and plan their segments: rows of SEGMENTS.

    `pending` has the columns of `corpus.CORPUS`; `done` is what an earlier, unfinished run has committed of
    them (video_id, fingerprint, segment_index, num_clips, num_dropped_clips, warnings): these segments are
    not planned again.
    """
    done_rows: dict[str, list[dict[str, Any]]] = {}
    for row in done.to_pylist():
        done_rows.setdefault(row["video_id"], []).append(row)
    with ThreadPoolExecutor(PROBES_AT_ONCE) as threads:
        planned = threads.map(
            lambda row: _plan_video(
                row | {"featurizer": featurizer}, done_rows.get(row["video_id"], []), config
            ),
            pending.to_pylist(),
        )
        return pa.Table.from_pylist([row for rows in planned for row in rows], schema=SEGMENTS)


def _plan_video(
    entry: dict[str, Any], done: list[dict[str, Any]], config: FeaturizerConfig
) -> list[dict[str, Any]]:
    video = entry | {
        "replaces": any(row["fingerprint"] != entry["fingerprint"] for row in done),
        "transcript_reason": _transcript_problem(entry["transcript_uri"]),
    }
    try:
        probe = probe_video(entry["uri"])
    except VideoError as error:
        failed = {"num_segments": 0, "state": "failed", "stage": error.stage, "reason": error.reason}
        return [video | NO_PROBE | failed]
    segments = plan_segments(
        probe.duration_seconds, clip_seconds=config.clip_seconds, segment_seconds=config.segment_seconds
    )
    finished = {row["segment_index"]: row for row in done if row["fingerprint"] == entry["fingerprint"]}
    video |= _probe_columns(probe) | {"num_segments": len(segments)}
    return [video | _segment_columns(segment, finished.get(segment.index)) for segment in segments]


def _probe_columns(probe: VideoProbe) -> dict[str, Any]:
    return {name: getattr(probe, name) for name in PROBE_COLUMNS} | {"warnings": list(probe.warnings)}


def _segment_columns(segment: Segment, finished: dict[str, Any] | None) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "segment_index": segment.index,
        "first_clip": segment.first_clip,
        "num_planned_clips": segment.num_clips,
        "state": "pending",
    }
    if finished is None:
        return columns
    return columns | {
        "state": "done",
        "num_clips": finished["num_clips"],
        "num_dropped_clips": finished["num_dropped_clips"],
        "segment_warnings": finished["warnings"],
    }


def _transcript_problem(uri: str | None) -> str | None:
    """Why the transcript cannot be used. It is read here so that the ledger has one writer."""
    try:
        if uri is not None:
            read_transcript(uri)
    except VideoError as error:
        return error.reason
    return None


def check_transcripts(changed: pa.Table) -> pa.Table:
    """Append the column `reason` to rows of `corpus.CORPUS`: why a transcript cannot be used, else null."""
    with ThreadPoolExecutor(PROBES_AT_ONCE) as threads:
        reasons = list(threads.map(_transcript_problem, changed["transcript_uri"].to_pylist()))
    return changed.append_column("reason", pa.array(reasons, pa.string()))


def featurize_segments(
    segments: pa.Table, featurizer: Featurizer, *, config: FeaturizerConfig
) -> tuple[pa.Table, pa.Table]:
    """Decode and featurize the pending rows of SEGMENTS.

    Returns the same rows, none of them pending any more, and the rows of FEATURES of those that are done.
    """
    rows = segments.to_pylist()
    features: list[dict[str, Any]] = []
    vectors: list[np.ndarray] = []
    for row in rows:
        if row["state"] != "pending":
            continue
        try:
            clips, num_dropped = _usable_clips(row, config)
        except VideoError as error:
            row |= {"state": "failed", "stage": error.stage, "reason": error.reason}
            continue
        warnings = _segment_warnings(row, num_clips=len(clips), num_dropped=num_dropped)
        row |= {"state": "done", "num_clips": len(clips), "num_dropped_clips": num_dropped}
        row |= {"segment_warnings": warnings}
        vectors.append(featurizer.extract(clips))
        starts = [clip.index * config.clip_seconds for clip in clips]
        features.append(row | {"clip_seconds": config.clip_seconds, "clip_start_seconds": starts})
        features[-1]["warnings"] = warnings
    return pa.Table.from_pylist(rows, schema=SEGMENTS), _feature_table(features, vectors)


def _usable_clips(row: dict[str, Any], config: FeaturizerConfig) -> tuple[list[Clip], int]:
    segment = Segment(
        index=row["segment_index"], first_clip=row["first_clip"], num_clips=row["num_planned_clips"]
    )
    clips: list[Clip] = []
    num_dropped = 0
    for clip in decode_clips(
        row["uri"],
        segment,
        clip_spec(config),
        decoder=config.decoder,
        skip_loop_filter=config.skip_loop_filter,
    ):
        if usable(clip, config.max_corrupt_share):
            clips.append(clip)
        else:
            num_dropped += 1
    if not clips:
        raise VideoError("decode", f"all {num_dropped} clips have {_too_corrupt(config)}")
    return clips, num_dropped


def _too_corrupt(config: FeaturizerConfig) -> str:
    return f"more than {config.max_corrupt_share:.0%} corrupt frames"


def _segment_warnings(row: dict[str, Any], *, num_clips: int, num_dropped: int) -> list[str]:
    num_missing = row["num_planned_clips"] - num_clips - num_dropped
    if num_missing == 0:
        return []
    return [
        f"segment {row['segment_index']}: the stream ends {num_missing} clips before the header's duration"
    ]


def _feature_table(rows: list[dict[str, Any]], vectors: list[np.ndarray]) -> pa.Table:
    schema = FEATURES.schema
    scalars = pa.schema([field for field in schema if field.name != "features"])
    table = pa.Table.from_pylist(rows, schema=scalars)
    return table.append_column("features", pack_vectors(vectors)).select(schema.names)


def ledger_row(segments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rows of SEGMENTS of one video, none of them pending -> its row of VIDEOS."""
    ordered = sorted(segments, key=lambda row: row["segment_index"] or 0)
    video = ordered[0]
    failures = [
        {"segment_index": row["segment_index"], "stage": row["stage"], "reason": row["reason"]}
        for row in ordered
        if row["state"] == "failed"
    ]
    num_clips = sum(row["num_clips"] or 0 for row in ordered)
    num_dropped = sum(row["num_dropped_clips"] or 0 for row in ordered)
    if num_dropped and not failures:
        failures.append(
            {
                "segment_index": None,
                "stage": "decode",
                "reason": f"{num_dropped} clips dropped: corrupt frames",
            }
        )
    if video["transcript_reason"] is not None:
        failures.append({"segment_index": None, "stage": "transcript", "reason": video["transcript_reason"]})
    first = failures[0] if failures else {"stage": None, "reason": None}
    return {name: video[name] for name in VIDEO_COLUMNS} | {
        "status": _status(num_clips, failures),
        "stage": first["stage"],
        "reason": first["reason"],
        "warnings": video["warnings"] + [text for row in ordered for text in row["segment_warnings"] or []],
        "num_clips": num_clips,
        "num_dropped_clips": num_dropped,
        "failures": failures,
    }


def _status(num_clips: int, failures: Sequence[dict[str, Any]]) -> str:
    if num_clips == 0:
        return "failed"
    return "partial" if failures else "ok"
