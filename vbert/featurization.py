"""Segments -> decoded, featurized rows: what one worker does for one segment, failures included."""

from typing import Any

import numpy as np
import pyarrow as pa

from vbert.decode import decode_clips
from vbert.errors import VideoError
from vbert.features import Featurizer, FeaturizerConfig, clip_spec, usable
from vbert.frame_grid import Clip
from vbert.media import Segment
from vbert.planning import SEGMENTS
from vbert.schemas import FEATURES, pack_vectors


def check_featurizer(config: FeaturizerConfig) -> None:
    """Raise UserError here, not on a worker, for weights that do not load or a decoder that is not there."""
    Featurizer(config, device="cpu")
    nothing = Segment(index=0, first_clip=0, num_clips=1)
    decode_clips(
        "", nothing, clip_spec(config), decoder=config.decoder, skip_loop_filter=config.skip_loop_filter
    )


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
            clips, num_dropped = _clips_of(row, config)
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


def _clips_of(row: dict[str, Any], config: FeaturizerConfig) -> tuple[list[Clip], int]:
    segment = Segment(
        index=row["segment_index"], first_clip=row["first_clip"], num_clips=row["num_planned_clips"]
    )
    clips, num_dropped = usable_clips(row["uri"], segment, config)
    if not clips:
        raise VideoError("decode", f"all {num_dropped} clips have {_too_corrupt(config)}")
    return clips, num_dropped


def usable_clips(uri: str, segment: Segment, config: FeaturizerConfig) -> tuple[list[Clip], int]:
    """The clips of a segment that are not too corrupt, and how many are. Raises VideoError("decode",
    reason)."""
    clips: list[Clip] = []
    num_dropped = 0
    for clip in decode_clips(
        uri,
        segment,
        clip_spec(config),
        decoder=config.decoder,
        skip_loop_filter=config.skip_loop_filter,
    ):
        if usable(clip, config.max_corrupt_share):
            clips.append(clip)
        else:
            num_dropped += 1
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
