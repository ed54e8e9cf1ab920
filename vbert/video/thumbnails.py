"""Frames of a video as small JPEGs: what people look at instead of tokens."""

import base64
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from operator import lt

from av import FFmpegError
from av.video.frame import VideoFrame
from PIL import Image

from vbert.errors import VideoError
from vbert.video.decode_pyav import StreamDecoder
from vbert.video.frame_grid import TimedFrame
from vbert.video.frame_scaler import name_a_matrix
from vbert.video.opening import (
    has_palette,
    is_seekable,
    open_video,
    pixel_aspect,
    presentation_start,
    reason_of,
    select_video_stream,
    shown_area,
    time_base,
)

QUALITY = 70
# From the keyframe before, from one further back if that is not before, or from the beginning of the file.
SECONDS_BACK = (0, 4, 16, 64, None)
# Where seeks are guesses so much is decoded from the beginning. Behind it an hour's decoding for one picture
# is too much, and a seek misleads in joined recordings alone.
PASS_SECONDS = 120.0


def thumbnails(uri: str, times: Sequence[float], *, width: int) -> list[bytes | None]:
    """JPEGs, `width` pixels wide, of the frames shown at some times (seconds of the presentation): those that
    PyAV's clips are made of.

    None for a time at which nothing can be decoded. Raises VideoError("decode", reason) if the file cannot be
    opened at all.
    """
    found: dict[float, bytes] = {}
    try:
        with open_video(uri) as container:
            stream = select_video_stream(container, stage="decode")
            in_pass = 0.0 if is_seekable(container, stream) else PASS_SECONDS
            if has_palette(stream):
                in_pass = float("inf")
        ordered = sorted(set(times))
        near = [seconds for seconds in ordered if seconds < in_pass]
        if near:
            found |= _pictures(uri, near, (None,), width=width)
        for seconds in ordered[len(near) :]:
            found |= _pictures(uri, [seconds], SECONDS_BACK, width=width)
    except (FFmpegError, OSError) as error:
        raise VideoError("decode", reason_of(error)) from error
    return [found.get(seconds) for seconds in times]


def _pictures(
    uri: str, times: Sequence[float], seconds_back: Sequence[int | None], *, width: int
) -> dict[float, bytes]:
    """By the times, which are in order, in one pass: from a keyframe so many seconds before them, or from the
    beginning of the file."""
    for seconds in seconds_back:
        with open_video(uri) as container:
            decoder = StreamDecoder(container, skip_loop_filter=False)
            if seconds == 0 and decoder.starts_again():
                return _pictures(uri, times, (None,), width=width)
            start, tick = presentation_start(container), time_base(decoder.stream)
            wanted = [int((start + Fraction(time).limit_denominator(1000)) / tick) for time in times]
            frames: Iterator[TimedFrame[VideoFrame]] | None
            if seconds is None:
                frames = decoder.frames_from_start()
            else:
                back = wanted[0] - int(seconds / tick)
                frames = decoder.frames_from_keyframe(back, is_late=partial(lt, wanted[0]))
            shown = _shown(frames or iter(()), wanted)
            found = {times[at]: _jpeg(frame, decoder, width=width) for at, frame in shown}
        if found:
            return found
    return {}


def _shown(
    frames: Iterator[TimedFrame[VideoFrame]], wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The number of each time, and the frame that is on the screen then: before the first frame that one, and
    behind the last one that."""
    held: VideoFrame | None = None
    at = 0
    for timed in frames:
        held = held or timed.frame
        while timed.frame and held and at < len(wanted) and timed.ticks > wanted[at]:
            yield at, held
            at += 1
        if at == len(wanted):
            return
        held = timed.frame or held
    while held and at < len(wanted):
        yield at, held
        at += 1


def _jpeg(frame: VideoFrame, decoder: StreamDecoder, *, width: int) -> bytes:
    """The part of it that is to be shown, in square pixels, and turned counter-clockwise by its rotation."""
    stream = decoder.stream
    name_a_matrix(frame)
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    if picture.size == (stream.width, stream.height):
        area = shown_area(decoder.container, stream)
        picture = picture.crop((area.x, area.y, area.x + area.width, area.y + area.height))
    size = picture.width * float(pixel_aspect(stream)), float(picture.height)
    if frame.rotation:
        picture = picture.rotate(frame.rotation, expand=True)
    if frame.rotation % 180:
        size = size[1], size[0]
    small = picture.resize((width, max(1, round(size[1] * width / size[0]))))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def data_url(jpeg: bytes) -> str:
    """For a page that fetches nothing."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
