"""Frames of a video as small JPEGs: what people look at instead of tokens."""

import base64
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction

from av import FFmpegError
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from vbert.errors import VideoError
from vbert.video.opening import (
    open_video,
    presentation_start,
    read_packets,
    reason_of,
    repeats_frame,
    select_video_stream,
    time_base,
)

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


def _frame_at(
    container: InputContainer, stream: VideoStream, seconds: Fraction, *, width: int
) -> bytes | None:
    """The last frame that begins at or before a time of the stream's clock, or else the first."""
    wanted = int(seconds / time_base(stream))
    shown = None
    try:
        container.seek(wanted, stream=stream)
        for frame in _frames(container, stream):
            if frame.pts is not None and frame.pts > wanted and shown is not None:
                break
            shown = frame
            if frame.pts is None or frame.pts > wanted:
                break
    except FFmpegError:
        return None
    return None if shown is None else _jpeg(shown, width=width)


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    for packet in read_packets(container, stream):
        if not repeats_frame(packet):
            yield from packet.decode()


def _jpeg(frame: VideoFrame, *, width: int) -> bytes:
    """As it is to be shown: turned counter-clockwise by its rotation."""
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    if frame.rotation:
        picture = picture.rotate(frame.rotation, expand=True)
    small = picture.resize((width, max(1, round(picture.height * width / picture.width))))
    file = io.BytesIO()
    small.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def data_url(jpeg: bytes) -> str:
    """For a page that fetches nothing."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
