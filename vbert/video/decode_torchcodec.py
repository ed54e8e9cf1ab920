"""Decode a segment with torchcodec: the same frames and the same part of the picture as with PyAV, as RGB."""

import importlib
from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

from vbert.errors import UserError, VideoError
from vbert.storage.files import local_path, open_file
from vbert.video.frame_grid import Clip, ClipBuilder, ClipSpec, Color, FrameGrid, crop_box, timed_indices
from vbert.video.frame_times import FrameTimes, read_frame_times
from vbert.video.media import Segment, probe_video

NO_FFMPEG = (
    "decoder torchcodec does not find FFmpeg's shared libraries (libavcodec.so and others); install FFmpeg"
)


def decode_with_torchcodec(uri: str, segment: Segment, spec: ClipSpec) -> Iterator[Clip]:
    """The clips of `segment` as RGB (`ClipBuilder.clips`).

    Raises UserError if torchcodec or FFmpeg is missing; while iterating, VideoError("decode", reason) where
    a frame of the segment does not decode.
    """
    try:
        torchcodec = importlib.import_module("torchcodec")  # not before: it looks for FFmpeg when imported
    except ImportError as error:
        raise UserError(
            "decoder torchcodec is not installed; run: pip install 'vbert[torchcodec]'"
        ) from error
    except RuntimeError as error:
        raise UserError(NO_FFMPEG) from error
    if torchcodec.ffmpeg_major_version is None:
        raise UserError(NO_FFMPEG)
    return _clips(torchcodec, uri, segment, spec)


def _clips(torchcodec: ModuleType, uri: str, segment: Segment, spec: ClipSpec) -> Iterator[Clip]:
    times = read_frame_times(uri)
    crop_and_scale = _crop_and_scale(torchcodec, times, spec, rotation=probe_video(uri).rotation)
    grid = FrameGrid(spec, time_base=times.time_base, origin_seconds=times.origin_seconds)
    path = local_path(uri)
    source = open_file(uri) if path is None else nullcontext(path)
    try:
        with source as file:
            decoder = torchcodec.decoders.VideoDecoder(
                file,
                stream_index=times.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                device="cpu",
                transforms=crop_and_scale,
            )
            if len(decoder) != len(times.ticks):
                reason = f"torchcodec counts {len(decoder)} frames, the file has {len(times.ticks)}"
                raise VideoError("decode", reason)
            builder: ClipBuilder[int] = ClipBuilder(
                grid,
                segment,
                picture=lambda index: decoder.get_frame_at(index).data.numpy(),
                picture_shape=(spec.size, spec.size, 3),
                color=Color(matrix="rgb", full_range=True),
                one_frame_ticks=times.frame_ticks,
            )
            frames = timed_indices(times.ticks, grid, segment, one_frame_ticks=times.frame_ticks)
            yield from builder.clips(frames, promised_end_ticks=0)
    except RuntimeError as error:  # whatever FFmpeg refuses
        raise VideoError("decode", str(error)) from error


def _crop_and_scale(torchcodec: ModuleType, times: FrameTimes, spec: ClipSpec, *, rotation: int) -> list[Any]:
    """The centred square, scaled, always bilinear; torchcodec turns the picture first."""
    _, _, width, height = crop_box(
        times.width, times.height, crop_share=spec.crop_share, pixel_aspect=times.pixel_aspect
    )
    if rotation % 180:
        width, height = height, width
    transforms = torchcodec.transforms
    return [transforms.CenterCrop((height, width)), transforms.Resize((spec.size, spec.size))]
