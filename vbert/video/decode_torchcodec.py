"""Decode a segment with torchcodec: the same frames and the same part of the picture as with PyAV, as RGB.

On a CPU, or on a GPU's decoding engine (NVDEC), where pictures are cropped and scaled before they come back:
0.15 MB of 224 x 224. Of a format that the engine does not have torchcodec decodes on the CPU.
"""

import importlib
from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np

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
    return _clips(_torchcodec(), uri, segment, spec, on_gpu=False)


def decode_with_nvdec(uri: str, segment: Segment, spec: ClipSpec) -> Iterator[Clip]:
    """The same by a GPU. Raises UserError, too, while iterating, where torch sees none: who plans the work
    need not have one."""
    return _clips(_torchcodec(), uri, segment, spec, on_gpu=True)


def nvdec_device() -> str:
    """Torch's name of the GPU that decodes. UserError where torch sees none."""
    import torch

    if not torch.cuda.is_available():
        raise UserError("decoder nvdec: torch sees no GPU here; use decoder pyav")
    return "cuda"


def _torchcodec() -> ModuleType:
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
    return torchcodec


def _clips(
    torchcodec: ModuleType, uri: str, segment: Segment, spec: ClipSpec, *, on_gpu: bool
) -> Iterator[Clip]:
    device = nvdec_device() if on_gpu else "cpu"
    times = read_frame_times(uri)
    box = _crop(times, spec, rotation=probe_video(uri).rotation)
    transforms = torchcodec.transforms
    scaling = [transforms.CenterCrop(box), transforms.Resize((spec.size, spec.size))]
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
                device=device,
                transforms=None if on_gpu else scaling,  # which torchcodec has on CPUs alone
            )
            if len(decoder) != len(times.ticks):
                reason = f"torchcodec counts {len(decoder)} frames, the file has {len(times.ticks)}"
                raise VideoError("decode", reason)

            def picture(index: int) -> np.ndarray:
                frame = decoder.get_frame_at(index).data
                frame = crop_and_scale(frame, box, size=spec.size) if on_gpu else frame
                pixels: np.ndarray = frame.cpu().numpy()
                return pixels

            builder: ClipBuilder[int] = ClipBuilder(
                grid,
                segment,
                picture=picture,
                picture_shape=(spec.size, spec.size, 3),
                color=Color(matrix="rgb", full_range=True),
                one_frame_ticks=times.frame_ticks,
            )
            frames = timed_indices(times.ticks, grid, segment, one_frame_ticks=times.frame_ticks)
            yield from builder.clips(frames, promised_end_ticks=0)
    except RuntimeError as error:  # whatever FFmpeg refuses
        raise VideoError("decode", str(error)) from error


def _crop(times: FrameTimes, spec: ClipSpec, *, rotation: int) -> tuple[int, int]:
    """Height and width of the centred part that is scaled; torchcodec turns the picture first."""
    _, _, width, height = crop_box(
        times.width, times.height, crop_share=spec.crop_share, pixel_aspect=times.pixel_aspect
    )
    return (width, height) if rotation % 180 else (height, width)


def crop_and_scale(frame: Any, box: tuple[int, int], *, size: int) -> Any:
    """Torch's uint8 [height, width, 3] -> the centred `box` of it, scaled: [size, size, 3], on its device.

    As torchvision's CenterCrop and Resize: bilinear, averaging over what lies between.
    """
    from torch.nn.functional import interpolate

    top, left = ((side - kept) // 2 for side, kept in zip(frame.shape, box, strict=False))
    cropped = frame[top : top + box[0], left : left + box[1]].permute(2, 0, 1)[None].float()
    scaled = interpolate(cropped, (size, size), mode="bilinear", antialias=True)
    return scaled[0].round().clamp(0, 255).byte().permute(1, 2, 0)
