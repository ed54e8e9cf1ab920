"""Frames of a video as small JPEGs: what people look at instead of tokens."""

import base64
import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from av import FFmpegError
from PIL import Image

from vbert.errors import VideoError
from vbert.video.opening import open_video, presentation_start, reason_of, select_video_stream, time_base

QUALITY = 70


def thumbnails(uri: str, times: Sequence[float], *, width: int) -> list[bytes | None]:
    """JPEGs, `width` pixels wide, of the frames shown at some times (seconds of the presentation).

    None for a time at which nothing can be decoded. Raises VideoError("decode", reason) if the file cannot be
    opened at all.
    """
    try:
        with open_video(uri) as container:
            stream = select_video_stream(container, stage="decode")
            start = presentation_start(container)
            return [
                _frame_at(container, stream, start + Fraction(seconds).limit_denominator(1000), width=width)
                for seconds in times
            ]
    except (FFmpegError, OSError) as error:
        raise VideoError("decode", reason_of(error)) from error


def _frame_at(container: Any, stream: Any, seconds: Fraction, *, width: int) -> bytes | None:
    """The last frame that begins at or before a time of the stream's clock, or else the first."""
    wanted = int(seconds / time_base(stream))
    shown = None
    try:
        container.seek(wanted, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts > wanted and shown is not None:
                break
            shown = frame
            if frame.pts is None or frame.pts > wanted:
                break
    except FFmpegError:
        return None
    return None if shown is None else _jpeg(shown.to_image(), turned=shown.rotation, width=width)


def _jpeg(picture: Image.Image, *, turned: int, width: int) -> bytes:
    """`turned`: degrees counter-clockwise by which the picture is to be shown."""
    if turned:
        picture = picture.rotate(turned, expand=True)
    small = picture.resize((width, max(1, round(picture.height * width / picture.width))))
    file = io.BytesIO()
    small.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def data_url(jpeg: bytes) -> str:
    """For a page that fetches nothing."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
