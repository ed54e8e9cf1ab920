"""Open a video wherever it lies, and what its container and its streams say."""

import errno
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import av.logging
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError, InvalidDataError
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.storage.blocks import open_blocks, open_to_look
from vbert.storage.files import check_seekable, local_path
from vbert.video.formats import FORMATS

# AVI stores no presentation times. FFmpeg guesses them from the order of decoding, and the guesses jump back
# and forth where there are B-frames; the decoding time of the packet that completes a frame is steady.
FORMATS_TIMED_BY_DECODING = {"avi"}

# Formats with an index that holds exact times.
SEEKABLE_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}

# AVFMT_NOTIMESTAMPS: bare streams (.h264, .m1v), in which durations are guesses from the bit rate.
NO_TIMESTAMPS_FLAG = 0x0080

NOT_OPENED = "damaged, or in none of the formats that are opened (a playlist, a picture)"

MAX_RATE = 10_000  # frames a second
MAX_PIXEL_ASPECT = 100


@contextmanager
def open_video(uri: str, *, to_look: bool = False) -> Iterator[InputContainer]:
    """Open a local path, a file:// URL (percent-encoded, see `listing`) or any fsspec URL.

    FFmpeg reads local files itself, others through a seekable file object, in blocks (`storage.blocks`):
    small ones if it is only `to_look` at the header and the end, else those that a next segment finds again.
    It opens nothing but this file, in one of FORMATS. Raises FFmpegError, OSError, or UserError for a URL
    that fsspec has no filesystem for.
    """
    path = local_path(uri)
    if path is not None:
        check_seekable(path)
        # "file:" keeps FFmpeg from reading a protocol into names such as "a:b.mp4" or "-.mp4".
        with _open_container("file:" + path, protocols="file") as container:
            yield container
        return
    opened = open_to_look(uri) if to_look else open_blocks(uri)
    with opened as file, _open_container(file, protocols="data") as container:
        yield container


def _open_container(file: Any, *, protocols: str) -> InputContainer:
    options = {"protocol_whitelist": protocols, "format_whitelist": FORMATS}
    container = _open(file, options)
    if _is_all_hidden(container):
        container.close()
        if not isinstance(file, str):
            file.seek(0)
        container = _open(file, options | {"advanced_editlist": "0"})
    return container


def _open(file: Any, options: dict[str, str]) -> InputContainer:
    try:
        return cast("InputContainer", av.open(file, "r", options=options, metadata_errors="replace"))
    except ArgumentError as error:  # what FFmpeg says of a format that is not on the list
        raise OSError(errno.EINVAL, NOT_OPENED) from error
    except InvalidDataError as error:
        if _is_empty(file):
            raise OSError(errno.ENODATA, "empty file") from error
        raise


def _is_empty(file: Any) -> bool:
    if isinstance(file, str):
        return Path(file.removeprefix("file:")).stat().st_size == 0
    return bool(file.seek(0, os.SEEK_END) == 0)


def _is_all_hidden(container: InputContainer) -> bool:
    """Whether an edit list lasts 0, which stands for "to the end": FFmpeg takes it for nothing at all."""
    return "mov" in container.format.name and any(
        stream.frames and stream.duration == 0 for stream in container.streams
    )


def reason_of(error: FFmpegError | OSError) -> str:
    """What went wrong, without the error's number and the file's name."""
    return error.strerror or str(error) or type(error).__name__


def select_video_stream(container: InputContainer, *, stage: str, alone: bool = True) -> VideoStream:
    """The video stream that a player shows: no cover picture, nor a thumbnail of one frame beside a film; of
    the others a default one, and of these the largest, or else the first.

    If `alone`, all other streams are left unread from here on. Raises VideoError(stage, reason) where there
    is none, or FFmpeg has no decoder for it.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(stage, "no video stream")
    stream = max(streams, key=lambda each: _prominence(container, each))
    context = cast("VideoCodecContext | None", stream.codec_context)  # PyAV's types leave out the None
    if context is None:
        raise VideoError(stage, "no decoder for the video stream")
    if alone:
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
    return stream


def _prominence(container: InputContainer, stream: VideoStream) -> tuple[bool, bool, bool, int]:
    """Larger for what is rather shown; `max` takes the first of equals."""
    context = cast("VideoCodecContext | None", stream.codec_context)
    return (
        context is not None,
        not _is_still(container, stream),
        bool(stream.disposition & Disposition.default),
        context.width * context.height if context else 0,
    )


def _is_still(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the stream is one frame by its header."""
    tag = _parse_clock(stream.metadata.get("DURATION", ""))  # Matroska: FFmpeg stretches `stream.duration`
    rate = average_rate(container, stream)
    return stream.frames == 1 or (tag is not None and rate is not None and 0 < tag * rate < 2)


def read_packets(container: InputContainer, stream: Stream | None = None) -> Iterator["Packet[Any]"]:
    """The packets of a stream, or of all of them, from where the container is to its end.

    A stream that begins in the middle of the file, as in recordings of broadcasts, is one that PyAV does not
    know: it passes over its packets, and trips over it at the end.
    """
    with suppress(IndexError):
        yield from container.demux(*([stream] if stream else []))


def refuse_encrypted(container: InputContainer, stream: VideoStream, *, stage: str) -> None:
    """VideoError for a stream under Common Encryption: FFmpeg says so with each packet. Reads the first."""
    for packet in read_packets(container, stream):
        if packet.has_sidedata("encryption_info"):
            raise VideoError(stage, "encrypted")
        return


def is_seekable(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a seek leads to where the times say. In other formats FFmpeg looks for a packet with about the
    right time, and counts on from there: the frames need not be those of one pass."""
    return container.format.name in SEEKABLE_FORMATS and not has_palette(stream)


def has_palette(stream: VideoStream) -> bool:
    """Whether pixels are numbers of colours, which come with the first packet alone (FFmpeg's AVI and
    QuickTime): behind a seek all would be black."""
    return stream.codec_context.pix_fmt == "pal8"


def time_base(stream: Stream) -> Fraction:
    """Seconds a tick."""
    assert stream.time_base is not None  # every demuxed stream has one
    return stream.time_base


def presentation_start(container: InputContainer) -> Fraction:
    """The presentation's time 0 in seconds of the streams' clocks: the container's start time, unrounded.

    The container has it in microseconds; it is the start of one of its streams, which knows it exactly.
    """
    microseconds = cast("int | None", container.start_time)
    if microseconds is None:
        return Fraction(0)
    rounded = Fraction(microseconds, av.time_base)
    starts = [
        s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base
    ]
    nearest = min(starts, key=lambda start: abs(start - rounded), default=rounded)
    return nearest if abs(nearest - rounded) * av.time_base <= 1 else rounded


def is_bare(container: InputContainer) -> bool:
    """Whether the format has no timestamps at all."""
    return bool(container.format.flags & NO_TIMESTAMPS_FLAG)


def frame_ticks(container: InputContainer, stream: VideoStream) -> int:
    """The duration of a frame at the average rate, in ticks; at 25 frames a second where no rate is known."""
    rate = min(average_rate(container, stream) or Fraction(25), Fraction(MAX_RATE))
    return max(1, round(1 / (rate * time_base(stream))))


def average_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Frames a second, or None where nothing says."""
    if is_bare(container):  # FFmpeg's average is 25 by default; what it guesses is from the codec's header
        return stream.guessed_rate
    return stream.average_rate or stream.guessed_rate


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width over height of a pixel; what is beyond MAX_PIXEL_ASPECT is noise."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT else Fraction(1)


def stored_seconds(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Where the video stream ends by the header, in seconds of the presentation; None if it does not say."""
    start = (stream.start_time or 0) * time_base(stream) - presentation_start(container)
    if stream.duration:
        return start + stream.duration * time_base(stream)
    if "DURATION" in stream.metadata:  # Matroska: time of the end, from the container's clock zero
        end = _parse_clock(stream.metadata["DURATION"])
        if end is not None and "_STATISTICS_WRITING_APP" in stream.metadata:  # mkvmerge: from its first frame
            return start + end
        if end is not None:
            return end - presentation_start(container)
    return None


def _parse_clock(text: str) -> Fraction | None:
    """The seconds of "00:00:05.005000000"."""
    try:
        hours, minutes, seconds = (Fraction(part) for part in text.split(":"))
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


THEORA_HEADER = 0x80  # the first bit of a packet that holds no frame (Theora specification, 6.1)


def holds_frame(packet: "Packet[Any]") -> bool:
    """Not so the empty packet at the end, nor the headers within a chained Ogg."""
    if not packet.size:
        return False
    return packet.stream.codec_context.name != "theora" or not bytes(packet)[0] & THEORA_HEADER


def repeats_frame(packet: "Packet[Any]") -> bool:
    """A packet without data, but with a time: the frame before it stays on the screen (Theora specification,
    7.1). The empty packet at the end has no time, either."""
    return not packet.size and not (packet.pts is None and packet.dts is None)


class Area(NamedTuple):
    """The part of the stored picture that is to be shown, in pixels."""

    x: int
    y: int
    width: int
    height: int


# What `av_dump_format` prints of a cropping by the container (libavformat/dump.c).
CROPPING = re.compile(r"Frame cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
FORMATS_WITH_CROPPING = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
_dumping = threading.Lock()


def shown_area(container: InputContainer, stream: VideoStream) -> Area:
    """The clean aperture of QuickTime and mp4, the cropping of Matroska; else the whole picture."""
    left = right = top = bottom = 0
    if container.format.name in FORMATS_WITH_CROPPING:
        found = CROPPING.search(_dump_of(container, stream))
        left, right, top, bottom = map(int, found.groups()) if found else (0, 0, 0, 0)
    width, height = stream.width - left - right, stream.height - top - bottom
    if width <= 0 or height <= 0:
        return Area(0, 0, stream.width, stream.height)
    return Area(left, top, width, height)


def _dump_of(container: InputContainer, stream: VideoStream) -> str:
    """What FFmpeg prints of a stream: PyAV shows its side data nowhere else, and only to who is logging."""
    with _dumping:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            text = cast("Any", container).dumps_format()
        finally:
            av.logging.set_level(level)
    parts = re.split(r"^  Stream #\d+:(\d+)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(stream.index), "")
