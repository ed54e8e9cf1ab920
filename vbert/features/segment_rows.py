"""Segments -> decoded, featurized rows: what one worker does for one segment, failures included."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.errors import VideoError
from vbert.features.clip_sources import Source, sources
from vbert.features.featurizer import Featurizer
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.features.planning import SEGMENTS
from vbert.features.signals import signals_of
from vbert.tables.schemas import FEATURES, pack_vectors
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import Clip, ClipSpec, Color
from vbert.video.isolation import DecoderProcess
from vbert.video.media import Segment

# A segment with its clips, between the nodes that decode and those that featurize. Frames are those of all
# clips, one after the other, as `Clip.frames` has them.
DECODED = pa.schema(
    [
        *SEGMENTS,
        ("clip_index", pa.list_(pa.int32())),
        ("frames", pa.large_binary()),
        ("color_matrix", pa.list_(pa.string())),
        ("full_range", pa.list_(pa.bool_())),
        ("decode_seconds", pa.float64()),
        ("began_at", pa.float64()),
    ]
)


Decoded = tuple[dict[str, Any], list[Clip]]  # a row of SEGMENTS with its clips

# Of which a GPU computes one, while the clips of the next are waited for.
SEGMENTS_UNDER_WAY = 2


@dataclass(slots=True)
class Effort:
    """When the work began, and where the time went."""

    began_at: float = math.inf  # of the first decoding, seconds since 1970
    decode_seconds: float = 0.0  # of the CPU: what waits for a bucket is not decoding
    backbone_seconds: float = 0.0
    wait_seconds: float = 0.0  # for clips, while the backbone had none to start with

    @contextmanager
    def decoding(self, cpu_seconds: Callable[[], float]) -> Iterator[None]:
        """Around the decoder, with the clock of what it runs on."""
        self.began_at = min(self.began_at, time.time())
        start_seconds = cpu_seconds()
        yield
        self.decode_seconds += cpu_seconds() - start_seconds

    @contextmanager
    def in_backbone(self) -> Iterator[None]:
        """Around the backbone."""
        start_seconds = time.monotonic()
        yield
        self.backbone_seconds += time.monotonic() - start_seconds

    def waited_for(self, decoded: Iterator[Decoded]) -> Iterator[Decoded]:
        """The same, with the time until each is there."""
        while True:
            start_seconds = time.monotonic()
            found = next(decoded, None)
            self.wait_seconds += time.monotonic() - start_seconds
            if found is None:
                return
            yield found


Begin = Callable[[dict[str, Any]], None]


def _begin_any(_: dict[str, Any]) -> None:
    return


def check_decoder(config: FeaturizerConfig) -> None:
    """Raise UserError here, not on a worker, for a decoder that is not there."""
    nothing = Segment(index=0, first_clip=0, num_clips=1)
    decode_clips(
        "", nothing, clip_spec(config), decoder=config.decoder, skip_loop_filter=config.skip_loop_filter
    )


def featurize_segments(
    segments: pa.Table,
    featurizer: Featurizer,
    *,
    config: FeaturizerConfig,
    effort: Effort | None = None,
    process: DecoderProcess | None = None,
    begin: Begin = _begin_any,
) -> tuple[pa.Table, pa.Table]:
    """Decode and featurize the pending rows of SEGMENTS, of which no more than one is in memory at a time, on
    a GPU two.

    Returns the same rows, none of them pending any more, and the rows of FEATURES of those that are done.
    `effort` is added to. `process` decodes; None: this process does. `begin` is called before the work on
    each row, and raises VideoError for one that is not to be worked on.
    """
    effort = effort or Effort()
    found = [each for row in segments.to_pylist() for each in sources(row, config, process)]
    rows = [row for row, _ in found]
    decoded = ((row, _decode(row, source, config, effort, process, begin)) for row, source in found if source)
    features = _features_of(decoded, featurizer, config, effort)  # sets the rows' states as it goes
    return pa.Table.from_pylist(rows, schema=SEGMENTS), features


def decode_segments(
    segments: pa.Table,
    *,
    config: FeaturizerConfig,
    process: DecoderProcess | None = None,
    begin: Begin = _begin_any,
) -> Iterator[pa.Table]:
    """Decode the pending rows of SEGMENTS: for each a table of one row of DECODED, done or failed.

    `process` and `begin` are as for `featurize_segments`.
    """
    for folded in segments.to_pylist():
        for row, source in sources(folded, config, process):
            effort = Effort()
            clips = _decode(row, source, config, effort, process, begin) if source else []
            yield pa.Table.from_pylist([row | _packed(clips) | asdict(effort)], schema=DECODED)


def featurize_decoded(
    decoded: pa.Table,
    featurizer: Featurizer,
    *,
    config: FeaturizerConfig,
    effort: Effort | None = None,
    begin: Begin = _begin_any,
) -> tuple[pa.Table, pa.Table]:
    """Rows of DECODED -> what `featurize_segments` gives for their segments."""
    effort = effort or Effort()
    effort.began_at = min([effort.began_at, *decoded["began_at"].to_pylist()])
    effort.decode_seconds += pc.sum(decoded["decode_seconds"]).as_py() or 0.0
    rows = decoded.select(SEGMENTS.names).to_pylist()
    spec = clip_spec(config)
    unpacked = ((row, _unpacked(row, decoded.slice(at, 1), spec, begin)) for at, row in enumerate(rows))
    features = _features_of(unpacked, featurizer, config, effort)  # may set the rows' states as it goes
    return pa.Table.from_pylist(rows, schema=SEGMENTS), features


def decoded_bytes(config: FeaturizerConfig) -> int:
    """What the frames of a whole segment take as yuv420p."""
    spec = clip_spec(config)
    num_clips = max(1, round(config.segment_seconds / config.clip_seconds))
    return num_clips * spec.frames_per_clip * spec.yuv_bytes


def _decode(
    row: dict[str, Any],
    source: Source,
    config: FeaturizerConfig,
    effort: Effort,
    process: DecoderProcess | None,
    begin: Begin,
) -> list[Clip]:
    """The usable clips of a row of SEGMENTS, whose state and warnings are set; [] where it has failed."""
    try:
        begin(row)
        with effort.decoding(process.cpu_seconds if process else time.thread_time):
            clips, num_dropped = _clips_of(source, config)
    except VideoError as error:
        row |= _failed(error)
        return []
    row |= {"state": "done", "num_clips": len(clips), "num_dropped_clips": num_dropped}
    row["segment_warnings"] = _segment_warnings(row, num_clips=len(clips), num_dropped=num_dropped)
    return clips


def _failed(error: VideoError) -> dict[str, Any]:
    return {"state": "failed", "stage": error.stage, "reason": error.reason}


def _packed(clips: Sequence[Clip]) -> dict[str, Any]:
    return {
        "clip_index": [clip.index for clip in clips],
        "frames": b"".join(clip.frames.tobytes() for clip in clips),
        "color_matrix": [clip.color.matrix for clip in clips],
        "full_range": [clip.color.full_range for clip in clips],
    }


def _unpacked(row: dict[str, Any], decoded: pa.Table, spec: ClipSpec, begin: Begin) -> list[Clip]:
    """The clips of one row of DECODED; their frames are views of Arrow's memory. `row` is its SEGMENTS."""
    (indices,), (matrices,), (full_ranges,) = (
        decoded[name].to_pylist() for name in ("clip_index", "color_matrix", "full_range")
    )
    if not indices:
        return []
    try:
        begin(row)
    except VideoError as error:
        row |= _failed(error) | {"num_clips": None, "num_dropped_clips": None}
        return []
    data = np.frombuffer(decoded["frames"][0].as_buffer(), np.uint8)
    picture = (spec.size, spec.size, 3) if matrices[0] == "rgb" else (spec.yuv_bytes,)
    frames = data.reshape(len(indices), spec.frames_per_clip, *picture)
    return [
        Clip(
            index=index,
            frames=frames[at],
            color=Color(matrix=matrix, full_range=full_range),
            num_corrupt_frames=0,  # what was too corrupt is gone, and counted
            num_frames_seen=spec.frames_per_clip,
        )
        for at, (index, matrix, full_range) in enumerate(zip(indices, matrices, full_ranges, strict=True))
    ]


def _features_of(
    decoded: Iterator[Decoded],
    featurizer: Featurizer,
    config: FeaturizerConfig,
    effort: Effort,
) -> pa.Table:
    """Rows of SEGMENTS with their clips, taken one after the other -> rows of FEATURES of those with any."""
    rows: list[dict[str, Any]] = []
    vectors: list[np.ndarray] = []
    under_way: deque[Callable[[], np.ndarray]] = deque()
    for row, clips in effort.waited_for(decoded):
        if clips:
            with effort.in_backbone():
                under_way.append(featurizer.start(clips))
                if len(under_way) == SEGMENTS_UNDER_WAY:
                    vectors.append(under_way.popleft()())
            columns = {
                "clip_seconds": config.clip_seconds,
                "clip_start_seconds": [clip.index * config.clip_seconds for clip in clips],
                "warnings": row["segment_warnings"],
            }
            rows.append(row | columns | signals_of(clips, featurizer.spec))
    with effort.in_backbone():
        vectors += [finish() for finish in under_way]
    return feature_table(rows, vectors)


def _clips_of(source: Source, config: FeaturizerConfig) -> tuple[list[Clip], int]:
    clips, num_dropped = usable_clips(source(), config)
    if not clips:
        raise VideoError("decode", f"all {num_dropped} clips have {_too_corrupt(config)}")
    return clips, num_dropped


def usable(clip: Clip, max_corrupt_share: float) -> bool:
    """Whether the damaged share of a clip's source frames is within the limit."""
    return clip.num_corrupt_frames / max(1, clip.num_frames_seen) <= max_corrupt_share


def usable_clips(decoded: Iterable[Clip], config: FeaturizerConfig) -> tuple[list[Clip], int]:
    """Those that are not too corrupt, and how many are."""
    clips: list[Clip] = []
    num_dropped = 0
    for clip in decoded:
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


def feature_table(rows: list[dict[str, Any]], vectors: list[np.ndarray]) -> pa.Table:
    """Rows of FEATURES, from their other columns and the float32 [num_clips, dim] of each."""
    schema = FEATURES.schema
    scalars = pa.schema([field for field in schema if field.name != "features"])
    table = pa.Table.from_pylist(rows, schema=scalars)
    return table.append_column("features", pack_vectors(vectors)).select(schema.names)
