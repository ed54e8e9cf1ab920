"""Open a video wherever it lies, read its header, and cut it into segments."""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from typing import cast

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.storage.files import check_seekable, local_path, open_file
from vbert.video.formats import FORMATS

# AVI stores no presentation times. FFmpeg guesses them from the order of decoding, and the guesses jump back
# and forth where there are B-frames; the decoding time of the packet that completes a frame is steady.
FORMATS_TIMED_BY_DECODING = {"avi"}

# AVFMT_NOTIMESTAMPS: bare streams (.h264, .m1v), in which durations are guesses from the bit rate.
NO_TIMESTAMPS_FLAG = 0x0080

# Formats whose header can ask for a rotation. PyAV shows it on decoded frames only.
FORMATS_WITH_ROTATION = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}

MAX_PACKETS_TO_FIRST_FRAME = 64  # more than any codec's reordering depth (16 in H.264 and HEVC)

# Rounding of a header's duration: milliseconds in Matroska, and several of them may add up.
DURATION_TOLERANCE = Fraction(1, 100)

NOT_OPENED = "damaged, or in none of the formats that are opened (a playlist, a picture)"

# What a header or packets may claim before it is a lie: a week, and at least what a still picture takes. Each
# minute of a lie would be a segment that fails.
MAX_HOURS = 200
MIN_BYTES_A_SECOND = 16
MAX_RATE = 10_000  # frames a second
MAX_PIXEL_ASPECT = 100

# A float that somebody typed or divided stands for the simple fraction next to it: 0.1 for 1/10,
# 1.0666666666666667 for 16/15.
LARGEST_DENOMINATOR = 1_000_000


def exact(number: float) -> Fraction:
    """The fraction that `number`, typed or divided by somebody, stands for."""
    return Fraction(number).limit_denominator(LARGEST_DENOMINATOR)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoProbe:
    """What a video's header says."""

    duration_seconds: float
    """From the start of the presentation to the end of the video stream."""
    fps: float | None
    """Average rate."""
    width: int
    """As shown: square pixels, rotated."""
    height: int
    """As shown."""
    codec: str
    pixel_format: str
    rotation: int
    """Degrees counter-clockwise by which the picture is turned for showing: 0, 90, 180 or 270."""
    warnings: tuple[str, ...]
    """What had to be guessed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Some whole clips in a row: the unit of work, retry and commit."""

    index: int
    first_clip: int
    num_clips: int


@contextmanager
def open_video(uri: str) -> Iterator[InputContainer]:
    """Open a local path, a file:// URL (percent-encoded, see `listing`) or any fsspec URL.

    FFmpeg reads local files itself, others through a seekable file object, in ranges. It opens nothing but
    this file, in one of FORMATS. Raises FFmpegError, OSError, or UserError for a URL that fsspec has no
    filesystem for.
    """
    path = local_path(uri)
    if path is not None:
        check_seekable(path)
        # "file:" keeps FFmpeg from reading a protocol into names such as "a:b.mp4" or "-.mp4".
        with _open_container("file:" + path, protocols="file") as container:
            yield container
        return
    with open_file(uri) as file, _open_container(file, protocols="data") as container:
        yield container


def _open_container(file: object, *, protocols: str) -> InputContainer:
    options = {"protocol_whitelist": protocols, "format_whitelist": FORMATS}
    try:
        return av.open(file, "r", options=options, metadata_errors="replace")
    except ArgumentError as error:  # what FFmpeg says of a format that is not on the list
        raise OSError(errno.EINVAL, NOT_OPENED) from error


def reason_of(error: FFmpegError | OSError) -> str:
    """What went wrong, without the error's number and the file's name."""
    return error.strerror or str(error) or type(error).__name__


def select_video_stream(container: InputContainer, *, stage: str) -> VideoStream:
    """The first video stream that is not a cover picture; all other streams are left unread from here on.

    Raises VideoError(stage, reason) where there is none, or FFmpeg has no decoder for it.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(stage, "no video stream")
    if cast("object", streams[0].codec_context) is None:  # PyAV's types leave out the None, here and below
        raise VideoError(stage, "no decoder for the video stream")
    for other in container.streams:
        if other.index != streams[0].index:
            other.discard = Discard.all
    return streams[0]


def time_base(stream: VideoStream) -> Fraction:
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
    rate = min(_average_rate(container, stream) or Fraction(25), Fraction(MAX_RATE))
    return max(1, round(1 / (rate * time_base(stream))))


def _average_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
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


def probe_video(uri: str) -> VideoProbe:
    """Read the header, and one frame where the header may hold a rotation that PyAV shows only there.

    Raises VideoError("probe", reason) for what is not a video, or cannot be read.
    """
    try:
        with open_video(uri) as container:
            probe = _probe(container, select_video_stream(container, stage="probe"))
            size_bytes = container.size
        if 0 < probe.duration_seconds <= _credible_seconds(size_bytes):
            return probe
        with open_video(uri) as container:
            seconds = _scan_seconds(container, select_video_stream(container, stage="probe"))
    except (FFmpegError, OSError) as error:
        raise VideoError("probe", reason_of(error)) from error
    if seconds > MAX_HOURS * 3600:
        raise VideoError("probe", f"lasts {seconds / 3600:,.0f} hours by its packets, more than {MAX_HOURS}")
    kind = "credible duration" if probe.duration_seconds > 0 else "duration"
    warning = f"no {kind} in the header: taken from the packets"
    return replace(probe, duration_seconds=seconds, warnings=(*probe.warnings, warning))


def _credible_seconds(size_bytes: int) -> float:
    """The longest that a file may say it is; what is longer is small enough to count its packets."""
    return min(MAX_HOURS * 3600, size_bytes / MIN_BYTES_A_SECOND if size_bytes > 0 else float("inf"))


def _probe(container: InputContainer, stream: VideoStream) -> VideoProbe:
    if not (stream.width and stream.height):
        raise VideoError("probe", "the header gives the video stream no size")
    width, height = round(stream.width * pixel_aspect(stream)), stream.height
    rate = _average_rate(container, stream)
    seconds = _header_seconds(container, stream)

    packets = container.demux(stream)
    first = next(packets)
    warnings = _warnings_on_time(container, first)
    rotation = 0
    if container.format.name in FORMATS_WITH_ROTATION:
        frame = _first_frame(stream, chain([first], islice(packets, MAX_PACKETS_TO_FIRST_FRAME)))
        rotation = round(frame.rotation / 90) * 90 % 360 if frame else 0
        warnings += () if frame else ("the first frames do not decode",)
    if rotation % 180:
        width, height = height, width
    return VideoProbe(
        duration_seconds=float(seconds or 0),
        fps=float(rate) if rate else None,
        width=width,
        height=height,
        codec=stream.codec_context.codec.canonical_name,
        pixel_format=stream.pix_fmt or "unknown",
        rotation=rotation,
        warnings=warnings,
    )


def _warnings_on_time(container: InputContainer, first: "Packet[VideoStream]") -> tuple[str, ...]:
    if first.pts is None and first.dts is None:
        return ("no timestamps: frames are timed by the average rate",)
    if container.format.name in FORMATS_TIMED_BY_DECODING:
        return ("no presentation timestamps: frames are timed by their decoding",)
    return ()


def _first_frame(stream: VideoStream, packets: Iterable["Packet[VideoStream]"]) -> VideoFrame | None:
    for packet in packets:
        try:
            for frame in stream.codec_context.decode(packet):
                return frame
        except FFmpegError as error:  # a damaged packet; the next may do
            if isinstance(error, MemoryError):
                raise
    return None


def _header_seconds(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if is_bare(container):
        return None
    seconds = stored_seconds(container, stream)
    if seconds is None and container.duration:
        return Fraction(container.duration, av.time_base)
    return seconds


def _scan_seconds(container: InputContainer, stream: VideoStream) -> float:
    """The end of the last frame, from the packets of the whole file."""
    ticks = scan_frame_times(container, stream)
    if not ticks:
        raise VideoError("probe", "no packets in the video stream")
    end_ticks = ticks[-1] + frame_ticks(container, stream)
    return float(end_ticks * time_base(stream) - presentation_start(container))


def scan_frame_times(container: InputContainer, stream: VideoStream) -> list[int]:
    """The time of every frame in ticks, sorted, from the packets of the whole file: nothing is decoded."""
    ticks: list[int] = []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:  # the last is empty; an edit list may hide some
            stamp = packet.dts if packet.pts is None else packet.pts
            ticks.append(len(ticks) * frame_ticks(container, stream) if stamp is None else stamp)
    return sorted(ticks)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameTimes:
    """When each frame of a video is shown, for decoders that are asked for frames by number."""

    ticks: list[int]
    """Of frame 0, 1, 2... in the order of display."""
    time_base: Fraction
    origin_seconds: Fraction
    frame_ticks: int
    width: int
    """Of the pixels as stored, before rotation."""
    height: int
    pixel_aspect: Fraction
    stream_index: int
    num_video_streams: int


def read_frame_times(uri: str) -> FrameTimes:
    """Read the packets of the whole file. Raises VideoError("decode", reason)."""
    try:
        with open_video(uri) as container:
            stream = select_video_stream(container, stage="decode")
            return FrameTimes(
                ticks=scan_frame_times(container, stream),
                time_base=time_base(stream),
                origin_seconds=presentation_start(container),
                frame_ticks=frame_ticks(container, stream),
                width=stream.width,
                height=stream.height,
                pixel_aspect=pixel_aspect(stream),
                stream_index=stream.index,
                num_video_streams=len(container.streams.video),
            )
    except (FFmpegError, OSError) as error:
        raise VideoError("decode", reason_of(error)) from error


def plan_segments(duration_seconds: float, *, clip_seconds: float, segment_seconds: float) -> list[Segment]:
    """Cut a video into segments of as many whole clips as fit, at least one; a short video is one clip."""
    clip = exact(clip_seconds)
    num_clips = max(1, (Fraction(duration_seconds) + DURATION_TOLERANCE) // clip)
    clips_a_segment = max(1, exact(segment_seconds) // clip)
    return [
        Segment(index=index, first_clip=first, num_clips=min(clips_a_segment, num_clips - first))
        for index, first in enumerate(range(0, num_clips, clips_a_segment))
    ]
