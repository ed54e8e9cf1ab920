"""Before the first frame: probe videos, cut them into segments, and see which are done already.

Light on purpose: the workers that probe import neither torch nor a model.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa

from vbert.errors import VideoError
from vbert.tables.schemas import VIDEOS
from vbert.text.transcripts import open_transcript
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import worker_process
from vbert.video.media import Segment, VideoProbe, plan_segments

# What a segment row says of its video: the ledger's columns that are known before the first frame.
VIDEO_COLUMNS = [
    name
    for name in VIDEOS.schema.names
    if name not in {"status", "stage", "reason", "num_clips", "num_dropped_clips", "failures"}
]
PASS_SEGMENT = pa.struct(
    [(name, pa.int32()) for name in ("segment_index", "first_clip", "num_planned_clips")]
)
SEGMENTS = pa.schema(
    [VIDEOS.schema.field(name) for name in VIDEO_COLUMNS]
    + [
        ("num_segments_here", pa.int32()),  # that this row stands for: itself, and those of `decoded_with`
        # Further segments that are decoded in one pass with this one; null: it can be decoded by itself.
        ("decoded_with", pa.list_(PASS_SEGMENT)),
        ("lost", pa.string()),  # what of the video cannot be had, although the file promises it
        ("is_listed", pa.bool_()),  # the ledger has a row of this video
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
TRANSCRIPTS_AT_ONCE = 16  # opening a file in a bucket is waiting, as it is for headers
PROBE_COLUMNS = ("duration_seconds", "fps", "width", "height", "codec", "pixel_format", "rotation")
LONGEST_SEEK_IN_SEGMENTS = 2  # with keyframes farther apart, one pass costs less than seeks
NO_PROBE = dict.fromkeys(PROBE_COLUMNS)
NOTE = "transcript: "  # how the ledger's warnings about a transcript begin


def plan_videos(
    pending: pa.Table,
    done: pa.Table,
    *,
    featurizer: str,
    clip_seconds: float,
    segment_seconds: float,
    limits: DecodeLimits | None = None,
) -> pa.Table:
    """Probe videos in a child process, and plan their segments: rows of SEGMENTS.

    `pending` has the columns of `changes.PENDING`, or of CORPUS if all are new; `done` is what an earlier,
    unfinished run has committed of them (video_id, fingerprint, segment_index, num_clips, num_dropped_clips,
    warnings): these segments are not planned again.
    """
    cut = partial(plan_segments, clip_seconds=clip_seconds, segment_seconds=segment_seconds)
    done_rows: dict[str, list[dict[str, Any]]] = {}
    for row in done.to_pylist():
        done_rows.setdefault(row["video_id"], []).append(row)
    with ThreadPoolExecutor(TRANSCRIPTS_AT_ONCE) as threads:
        transcripts = threads.map(_look_at_transcript, pending["transcript_uri"].to_pylist())
        probes = worker_process(limits or DecodeLimits()).probe(pending["uri"].to_pylist())
        planned = [
            row
            for entry, probe, (problem, notes) in zip(pending.to_pylist(), probes, transcripts, strict=True)
            for row in _plan_video(
                entry | {"featurizer": featurizer, "transcript_reason": problem, "warnings": notes},
                probe,
                done_rows.get(entry["video_id"], []),
                cut,
                segment_seconds=segment_seconds,
            )
        ]
    return pa.Table.from_pylist(planned, schema=SEGMENTS)


def _plan_video(
    entry: dict[str, Any],
    probe: VideoProbe | VideoError,
    done: list[dict[str, Any]],
    cut: Callable[[float], list[Segment]],
    *,
    segment_seconds: float,
) -> list[dict[str, Any]]:
    video = entry | {
        "is_listed": entry.get("change", "new") != "new",
        "replaces": any(row["fingerprint"] != entry["fingerprint"] for row in done),
    }
    if isinstance(probe, VideoError):
        failed = {
            "num_segments": 0,
            "num_segments_here": 1,
            "state": "failed",
            "stage": probe.stage,
            "reason": probe.reason,
        }
        return [NO_PROBE | video | failed]
    segments = cut(probe.duration_seconds)
    finished = {row["segment_index"]: row for row in done if row["fingerprint"] == entry["fingerprint"]}
    warnings = [*probe.warnings, *entry["warnings"]]
    video |= _probe_columns(probe) | {
        "num_segments": len(segments),
        "num_segments_here": 1,
        "lost": probe.lost,
        "warnings": warnings,
    }
    rows = [video | _segment_columns(segment, finished.get(segment.index)) for segment in segments]
    return _in_one_pass(rows) if wants_one_pass(probe, segment_seconds=segment_seconds) else rows


def wants_one_pass(probe: VideoProbe, *, segment_seconds: float) -> bool:
    """Whether to decode a video from its beginning is better than to seek to each segment: where keyframes
    are far apart, or seeks are not to be trusted."""
    return probe.seek_gap_seconds > LONGEST_SEEK_IN_SEGMENTS * segment_seconds


def _in_one_pass(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, but one row stands for all that is pending: `unfolded` gives them back."""
    pending = [row for row in rows if row["state"] == "pending"]
    done = [row for row in rows if row["state"] != "pending"]
    if not pending:
        return done
    first, *rest = pending
    names = PASS_SEGMENT.names
    others = [{name: row[name] for name in names} for row in rest]
    return [*done, first | {"decoded_with": others, "num_segments_here": len(pending)}]


def unfolded(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows, one a segment, that a row of SEGMENTS stands for."""
    others = row["decoded_with"] or []
    alone = {"decoded_with": None, "num_segments_here": 1}
    return [row | alone, *(row | other | alone for other in others)]


def _probe_columns(probe: VideoProbe) -> dict[str, Any]:
    return {name: getattr(probe, name) for name in PROBE_COLUMNS}


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


def _look_at_transcript(uri: str | None) -> tuple[str | None, list[str]]:
    """Why it cannot be used, or what of it is lost; and what there is to note. It is read here so that the
    ledger has one writer."""
    if uri is None:
        return None, []
    try:
        transcript = open_transcript(uri)
    except VideoError as error:
        return error.reason, []
    return transcript.lost, [f"{NOTE}{note}" for note in transcript.notes]


def check_transcripts(changed: pa.Table) -> pa.Table:
    """Append to rows of `corpus.CORPUS` the columns `reason` (why a transcript cannot be used, or what of it
    is lost; else null) and `notes`."""
    with ThreadPoolExecutor(TRANSCRIPTS_AT_ONCE) as threads:
        looks = list(threads.map(_look_at_transcript, changed["transcript_uri"].to_pylist()))
    reasons, notes = [reason for reason, _ in looks], [found for _, found in looks]
    return changed.append_column("reason", pa.array(reasons, pa.string())).append_column(
        "notes", pa.array(notes, pa.list_(pa.string()))
    )
