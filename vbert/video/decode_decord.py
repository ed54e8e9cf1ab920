"""Decode a segment with decord: the same frames and the same part of the picture as with PyAV, as RGB.

decord reads every packet when it opens a file, and opens it anew for each segment: for short videos.
"""

import importlib
from collections.abc import Iterator
from types import ModuleType

import numpy as np

from vbert.errors import UserError, VideoError
from vbert.storage.files import local_path
from vbert.video.frame_grid import Clip, ClipBuilder, ClipSpec, Color, FrameGrid, timed_indices
from vbert.video.frame_times import FrameTimes, read_frame_times
from vbert.video.media import Segment
from vbert.video.rgb_scaler import crop_and_scale

# The share of frames that decord may silently replace by a neighbour before it refuses to go on: as good as
# none. (0 stands for no limit.)
FAULT_TOLERANCE = 1e-9


def decode_with_decord(uri: str, segment: Segment, spec: ClipSpec) -> Iterator[Clip]:
    """The clips of `segment` as RGB (`ClipBuilder.clips`).

    Raises UserError if decord is missing or `uri` is not local; while iterating, VideoError("decode", reason)
    where decord cannot decode a frame of the segment.
    """
    path = local_path(uri)
    if path is None:
        raise UserError(f"{uri}: decord reads local files only; use decoder pyav or torchcodec")
    try:
        decord = importlib.import_module("decord")  # not before: it brings an FFmpeg of its own
    except ImportError as error:
        raise UserError("decoder decord is not installed; run: pip install 'vbert[decord]'") from error
    return _clips(decord, path, segment, spec)


def _clips(decord: ModuleType, path: str, segment: Segment, spec: ClipSpec) -> Iterator[Clip]:
    times = read_frame_times(path)
    if times.num_video_streams > 1:
        raise VideoError("decode", "decord cannot be told which video stream to take, and there are several")
    grid = FrameGrid(spec, time_base=times.time_base, origin_seconds=times.origin_seconds)
    try:
        reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1, fault_tol=FAULT_TOLERANCE)
        if len(reader) != len(times.ticks):
            raise VideoError("decode", f"decord counts {len(reader)} frames, the file has {len(times.ticks)}")
        builder: ClipBuilder[int] = ClipBuilder(
            grid,
            segment,
            picture=lambda index: _picture(reader[index].asnumpy(), spec, times),
            picture_shape=(spec.size, spec.size, 3),
            color=Color(matrix="rgb", full_range=True),
            one_frame_ticks=times.frame_ticks,
        )
        frames = timed_indices(times.ticks, grid, segment, one_frame_ticks=times.frame_ticks)
        yield from builder.clips(frames, promised_end_ticks=0)
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError) as error:
        raise VideoError("decode", str(error)) from error


def _picture(frame: np.ndarray, spec: ClipSpec, times: FrameTimes) -> np.ndarray:
    height, width, num_channels = frame.shape
    if num_channels != 3:  # seen with pictures of 16 x 16 pixels and less
        raise VideoError("decode", f"decord gives frames of {num_channels} colours; use decoder pyav")
    aspect = times.pixel_aspect if (width, height) == (times.width, times.height) else 1 / times.pixel_aspect
    return crop_and_scale(frame, spec, pixel_aspect=aspect)
