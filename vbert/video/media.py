"""Open a video wherever it lies, read its header, and cut it into segments."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.video.opening import (
    FORMATS_TIMED_BY_DECODING,
    average_rate,
    is_bare,
    is_seekable,
    open_video,
    pixel_aspect,
    presentation_start,
    read_packets,
    reason_of,
    refuse_encrypted,
    select_video_stream,
    shown_area,
    stored_seconds,
    time_base,
)
from vbert.video.timeline import PacketTimes, is_index_doubtful, longest_without_keyframe, read_packet_times

# Formats whose header can ask for a rotation. PyAV shows it on decoded frames only.
FORMATS_WITH_ROTATION = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}

# Formats whose header says how long the file is; in others FFmpeg guesses, from the last packets it sees.
FORMATS_WITH_DURATION = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "asf"}

MAX_PACKETS_TO_FIRST_FRAME = 64  # more than any codec's reordering depth (16 in H.264 and HEVC)

# Rounding of a header's duration: milliseconds in Matroska, and several of them may add up.
DURATION_TOLERANCE = Fraction(1, 100)

# What a header or packets may claim before it is a lie: a week, and at least what a still picture takes. Each
# minute of a lie would be a segment that fails.
MAX_HOURS = 200
MIN_BYTES_A_SECOND = 16

# By how much a header's duration may be off before it counts as a promise that the file does not keep.
PROMISE_TOLERANCE_SECONDS = 1.0

# The share of a file behind the last packet that is read that is more than an index or a trailer.
LARGEST_UNREAD_SHARE = 0.25
BROKEN_OFF = "the file breaks off in the middle of a frame"

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
    seek_gap_seconds: float = 0.0
    """The longest stretch without a place to seek to; infinite where only one pass gives the frames of one
    pass, and seeks do not."""
    lost: str | None = None
    """What of the video cannot be had, although the file promises it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Some whole clips in a row: the unit of work, retry and commit."""

    index: int
    first_clip: int
    num_clips: int
    is_pass: bool = False
    """Decoded from the start of the file, without a seek."""


def probe_video(uri: str) -> VideoProbe:
    """Read the header, one frame where the header may hold a rotation that PyAV shows only there, and the
    packets: the last ones where a seek leads to them, otherwise all.

    Raises VideoError("probe", reason) for what is not a video, or cannot be read.
    """
    try:
        with open_video(uri, to_look=True) as container:
            stream = select_video_stream(container, stage="probe", alone=False)
            probe = _probe(container, stream)
            refuse_encrypted(container, stream, stage="probe")
            promised = _promised_seconds(container)
            is_credible = 0 < probe.duration_seconds <= _credible_seconds(container.size)
            measured = None
            if is_credible and is_seekable(container, stream) and not is_index_doubtful(container):
                measured = _measured_by_index(container, stream, probe)
                measured = measured or _measured_by_seek(container, stream, probe, promised)
        if measured is not None:
            return measured
        with open_video(uri) as container:
            stream = select_video_stream(container, stage="probe", alone=False)
            times = read_packet_times(container, stream)
            measured = _measured(probe, times, promised, size_bytes=container.size)
            if is_seekable(container, stream) and not times.num_new_clocks:
                gap = longest_without_keyframe(stream, end_seconds=times.end_seconds)
                measured = replace(measured, seek_gap_seconds=gap)
    except (FFmpegError, OSError) as error:
        raise VideoError("probe", reason_of(error)) from error
    hours = times.end_seconds / 3600
    if hours > MAX_HOURS:
        raise VideoError("probe", f"lasts {hours:,.0f} hours by its packets, more than {MAX_HOURS}")
    if is_credible:
        return measured
    kind = "credible duration" if probe.duration_seconds > 0 else "duration"
    warning = f"no {kind} in the header: taken from the packets"
    return replace(measured, warnings=(*probe.warnings, warning, *measured.warnings[len(probe.warnings) :]))


def _promised_seconds(container: InputContainer) -> float:
    """How long the file is by a header that was written for that; 0 where FFmpeg guesses."""
    if container.format.name not in FORMATS_WITH_DURATION or not container.duration:
        return 0.0
    seconds = container.duration / av.time_base
    return seconds if seconds <= _credible_seconds(container.size) else 0.0


def _measured_by_index(
    container: InputContainer, stream: VideoStream, probe: VideoProbe
) -> VideoProbe | None:
    """With the facts of an index of all frames, which only mp4 and QuickTime files that are whole have."""
    entries = stream.index_entries
    if "mov" not in container.format.name or not stream.frames or not len(entries):
        return None
    one_frame = 1 / probe.fps if probe.fps else 0.0
    last = float(entries[len(entries) - 1].timestamp * time_base(stream) - presentation_start(container))
    seconds = probe.duration_seconds
    if last + one_frame > seconds + PROMISE_TOLERANCE_SECONDS + one_frame:
        seconds = last + one_frame
    gap = longest_without_keyframe(stream, end_seconds=seconds)
    final = entries[len(entries) - 1]
    lost = BROKEN_OFF if 0 < container.size < final.pos + final.size else None
    return replace(probe, duration_seconds=seconds, seek_gap_seconds=gap, lost=lost)


def _measured_by_seek(
    container: InputContainer, stream: VideoStream, probe: VideoProbe, promised: float
) -> VideoProbe | None:
    """With the facts of the packets behind the last keyframe before the header's end; None: read them all."""
    end = Fraction(probe.duration_seconds) + presentation_start(container)
    try:
        container.seek(int(end / time_base(stream)), stream=stream)
        times = read_packet_times(container, stream)
    except FFmpegError:
        return None
    if times.num_packets == 0 or times.num_new_clocks or times.end_seconds <= 0:
        return None
    measured = _measured(probe, times, promised, size_bytes=container.size)
    gap = longest_without_keyframe(stream, end_seconds=times.end_seconds)
    return replace(measured, seek_gap_seconds=gap)


def _measured(probe: VideoProbe, times: PacketTimes, promised: float, *, size_bytes: int) -> VideoProbe:
    """With the facts of the packets; seeks are not trusted."""
    if times.num_packets == 0:
        raise VideoError("probe", "no packets in the video stream")
    warnings, lost = list(probe.warnings), None
    if times.num_new_clocks:
        warnings.append(f"parts with clocks of their own, one after the other: {times.num_new_clocks + 1}")
    if times.num_wrong:
        warnings.append(f"timestamps that the next ones contradict, not followed: {times.num_wrong}")
    end = max(times.end_seconds, times.others_end_seconds)
    if promised > end + PROMISE_TOLERANCE_SECONDS:
        lost = f"the file ends at {end:.1f} s, and its header promises {promised:.1f} s"
    elif times.is_broken_off:
        lost = BROKEN_OFF
    unread = size_bytes - times.end_bytes
    if times.end_bytes and unread > LARGEST_UNREAD_SHARE * size_bytes:
        lost = f"{unread / size_bytes:.0%} of the file lie behind the end of the stream (joined files?)"
    return replace(
        probe,
        duration_seconds=times.end_seconds,
        warnings=tuple(warnings),
        lost=lost,
        seek_gap_seconds=float("inf"),
    )


def _credible_seconds(size_bytes: int) -> float:
    """The longest that a file may say it is; what is longer is small enough to count its packets."""
    return min(MAX_HOURS * 3600, size_bytes / MIN_BYTES_A_SECOND if size_bytes > 0 else float("inf"))


def _probe(container: InputContainer, stream: VideoStream) -> VideoProbe:
    if not (stream.width and stream.height):
        raise VideoError("probe", "the header gives the video stream no size")
    area = shown_area(container, stream)
    width, height = round(area.width * pixel_aspect(stream)), area.height
    rate = average_rate(container, stream)
    seconds = _header_seconds(container, stream)

    packets = read_packets(container, stream)
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


def plan_segments(duration_seconds: float, *, clip_seconds: float, segment_seconds: float) -> list[Segment]:
    """Cut a video into segments of as many whole clips as fit, at least one; a short video is one clip."""
    clip = exact(clip_seconds)
    num_clips = max(1, (Fraction(duration_seconds) + DURATION_TOLERANCE) // clip)
    clips_a_segment = max(1, exact(segment_seconds) // clip)
    return [
        Segment(index=index, first_clip=first, num_clips=min(clips_a_segment, num_clips - first))
        for index, first in enumerate(range(0, num_clips, clips_a_segment))
    ]
