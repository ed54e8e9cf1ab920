"""Decode a segment with PyAV: seek, choose frames by their times, scale only those, in one filter graph."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from typing import TypeVar

from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.video.frame_grid import Clip, ClipBuilder, ClipSpec, FrameGrid, TimedFrame
from vbert.video.frame_scaler import FrameScaler
from vbert.video.media import Segment
from vbert.video.opening import (
    FORMATS_TIMED_BY_DECODING,
    frame_ticks,
    holds_frame,
    is_seekable,
    open_video,
    presentation_start,
    read_packets,
    reason_of,
    repeats_frame,
    select_video_stream,
    shown_area,
    stored_seconds,
    time_base,
)
from vbert.video.timeline import (
    JITTER_SECONDS,
    Clock,
    Stamped,
    is_index_doubtful,
    longest_gap,
    read_packet_times,
)

Item = TypeVar("Item")

# How far before a segment to look for a keyframe. One may be shown after the time that was asked for (it is
# decoded before), or not decode. The last is 17 minutes; None after that reads the file from its start.
SECONDS_BACK = (0, *(2**n for n in range(11)), None)


def decode_with_pyav(uri: str, segment: Segment, spec: ClipSpec, *, skip_loop_filter: bool) -> Iterator[Clip]:
    """The clips of `segment` that the stream covers, in order, one in memory at a time (`ClipBuilder.clips`).

    Raises VideoError("decode", reason) if no clip can be had.
    """
    try:
        is_pass = segment.is_pass or segment.first_clip == 0
        for seconds_back in SECONDS_BACK:
            if is_pass and seconds_back is not None:
                continue
            with open_video(uri) as container:
                decoder = StreamDecoder(container, skip_loop_filter=skip_loop_filter)
                if seconds_back == 0 and decoder.starts_again():
                    is_pass = True
                    continue
                grid = FrameGrid(
                    spec,
                    time_base=time_base(decoder.stream),
                    origin_seconds=presentation_start(container),
                )
                frames = _frames_for(segment, grid, decoder, seconds_back)
                if frames is not None:
                    yield from _build_clips(frames, segment, spec, grid, decoder)
                    return
    except (FFmpegError, OSError) as error:
        raise VideoError("decode", reason_of(error)) from error


def _frames_for(
    segment: Segment, grid: FrameGrid, decoder: "StreamDecoder", seconds_back: int | None
) -> Iterator[TimedFrame[VideoFrame]] | None:
    """All frames, or those from a sound keyframe some seconds before the segment; None if there is none."""
    if seconds_back is None or not is_seekable(decoder.container, decoder.stream):
        return decoder.frames_from_start()
    first_slot = segment.first_clip * grid.frames_per_clip
    back_ticks = seconds_back // time_base(decoder.stream)
    return decoder.frames_from_keyframe(
        grid.slot_ticks(first_slot) - back_ticks, is_late=lambda ticks: grid.first_slot(ticks) > first_slot
    )


def _build_clips(
    frames: Iterator[TimedFrame[VideoFrame]],
    segment: Segment,
    spec: ClipSpec,
    grid: FrameGrid,
    decoder: "StreamDecoder",
) -> Iterator[Clip]:
    area = shown_area(decoder.container, decoder.stream)
    scaler = FrameScaler(decoder.stream, spec, area)
    builder = ClipBuilder(
        grid,
        segment,
        picture=scaler.scale,
        picture_shape=(spec.yuv_bytes,),
        color=scaler.color,
        one_frame_ticks=decoder.frame_ticks,
    )
    promised_seconds = stored_seconds(decoder.container, decoder.stream) or Fraction(0)
    num_clips = 0
    for clip in builder.clips(frames, promised_end_ticks=grid.ticks(promised_seconds)):
        yield clip
        num_clips += 1
    if num_clips == 0:
        raise VideoError("decode", decoder.last_error)


class StreamDecoder:
    """The frames of a container's video stream, in the order of display, with times and damage marked."""

    def __init__(self, container: InputContainer, *, skip_loop_filter: bool) -> None:
        self.container = container
        self.stream = select_video_stream(container, stage="decode")
        self.frame_ticks = frame_ticks(container, self.stream)
        self.last_error = "no frame decodes"
        self._is_timed_by_decoding = container.format.name in FORMATS_TIMED_BY_DECODING
        self._newest_pts = float("-inf")  # of the packets sent to the codec
        self._newest_dts = float("-inf")
        self._repeated_until: int | None = None  # where packets without data have come last: when they end
        self._jitter_ticks = JITTER_SECONDS / time_base(self.stream)
        self._longest_gap_ticks = longest_gap(container, self.stream, frame_ticks=self.frame_ticks)
        self._damaged_until: float | None = None  # only a keyframe shown after this ends the damage

        self._codec = self.stream.codec_context
        self._codec.thread_type = "NONE"  # one thread a worker; frame threads would blur `frame.dts`, too
        self._codec.thread_count = 1
        self._codec.flags |= Flags.output_corrupt  # flagged frames rather than silent gaps
        if skip_loop_filter:
            self._codec.options = {"skip_loop_filter": "all"}

    def frames_from_start(self) -> Iterator[TimedFrame[VideoFrame]]:
        """All frames of the stream, and its end."""
        return self._timed_frames(first_ticks=self.stream.start_time or 0)

    def frames_from_keyframe(
        self, ticks: int, *, is_late: Callable[[int], bool]
    ) -> Iterator[TimedFrame[VideoFrame]] | None:
        """The frames from the first sound keyframe behind a seek to `ticks`; None if none comes before a time
        that `is_late`.

        What comes out before a keyframe cannot be trusted: the B-frames of an open GOP lack their references.
        """
        frames = self._frames_after_seek(ticks)
        for timed in frames:
            if is_late(timed.ticks):
                return None
            if timed.frame and timed.frame.key_frame and not timed.frame.is_corrupt:
                self._damaged_until = None  # from here on, nothing depends on what came before
                return chain([TimedFrame(timed.ticks, timed.frame)], frames)
        return None

    def starts_again(self) -> bool:
        """Whether the clock does, in a file whose index may be wrong then. All packets are read."""
        if not is_index_doubtful(self.container):
            return False
        return read_packet_times(self.container, self.stream).num_new_clocks > 0

    def _frames_after_seek(self, ticks: int) -> Iterator[TimedFrame[VideoFrame]]:
        """The frames from the keyframe to which a seek to `ticks` leads; none where that is not possible."""
        try:
            self.container.seek(ticks, stream=self.stream)
        except FFmpegError:
            return
        yield from self._timed_frames(first_ticks=None)

    def _timed_frames(self, *, first_ticks: int | None) -> Iterator[TimedFrame[VideoFrame]]:
        """A first frame that has no time is at `first_ticks`; if that is None, nothing comes."""
        end: int | None = None
        shift = 0  # of the clock, against the frames' own times
        clock = Clock(self.container, self.stream, frame_ticks=self.frame_ticks)
        for placed in clock.place(self._judged_frames(), first_ticks=first_ticks):
            frame, was_damaged, is_corrupt = placed.item
            end = placed.ticks + (frame.duration or self.frame_ticks)
            if placed.stamp is not None and not placed.is_wrong:
                shift = placed.ticks - placed.stamp
            follows_damage = was_damaged or is_corrupt
            yield TimedFrame(placed.ticks, frame, is_corrupt or placed.is_wrong, follows_damage)
        if end is not None:
            until = end if self._repeated_until is None else self._repeated_until + shift
            yield self._end(max(end, until))

    def _judged_frames(self) -> Iterator[Stamped[tuple[VideoFrame, bool, bool]]]:
        """Frames, whether there was damage before them, and whether they are corrupt."""
        for frame in self._decoded_frames():
            was_damaged = self._damaged_until is not None
            judged = (frame, was_damaged, self._judge(frame))
            yield Stamped(self._stamp(frame), frame.duration or self.frame_ticks, judged)

    def _end(self, ticks: int) -> TimedFrame[VideoFrame]:
        """The end of the stream: of the last frame, or of the last packet if damage kept it from decoding."""
        if self._damaged_until is None:
            return TimedFrame(ticks, None)
        if self._newest_pts < float("inf"):
            ticks = max(ticks, int(self._newest_pts) + self.frame_ticks)
        return TimedFrame(ticks, None, follows_damage=True)

    def _stamp(self, timed: "VideoFrame | Packet[VideoStream]") -> int | None:
        if self._is_timed_by_decoding:
            return timed.dts
        return timed.dts if timed.pts is None else timed.pts

    def _decoded_frames(self) -> Iterator[VideoFrame]:
        for packet, following in _with_following(self._packets()):
            if packet is not None and packet.size:
                if not holds_frame(packet):
                    continue
                self._repeated_until = None
                pts = packet.dts if packet.pts is None else packet.pts
                self._notice_new_clock(packet, pts)
                self._newest_pts = max(self._newest_pts, float("inf") if pts is None else pts)
                if packet.is_corrupt and not any(self._is_new_clock(packet, later) for later in following):
                    # The container found bytes missing; the codec may not notice.
                    self._damaged_until = self._newest_pts
            elif packet is not None and repeats_frame(packet):
                self._repeated_until = (self._stamp(packet) or 0) + (packet.duration or self.frame_ticks)
                continue
            try:
                frames = self._codec.decode(packet)
            except FFmpegError as error:
                if isinstance(error, MemoryError):  # nothing is wrong with the packet
                    raise
                self.last_error = reason_of(error)
                self._damaged_until = self._newest_pts
                continue
            yield from frames

    def _is_new_clock(self, packet: "Packet[VideoStream]", later: "Packet[VideoStream] | None") -> bool:
        """Whether `later` is of another recording: what counts packets misses some at the joint."""
        if later is None or later.dts is None or packet.dts is None:
            return False
        gap = later.dts - packet.dts
        return bool(gap < -self._jitter_ticks or gap > self._longest_gap_ticks)

    def _notice_new_clock(self, packet: "Packet[VideoStream]", pts: int | None) -> None:
        """Damage before the clock started again ends with a keyframe of the new clock."""
        if packet.dts is None or pts is None:
            return
        if packet.dts < self._newest_dts - self._jitter_ticks:
            self._newest_pts = pts
            if self._damaged_until is not None:
                self._damaged_until = pts - 1
        self._newest_dts = packet.dts

    def _packets(self) -> Iterator["Packet[VideoStream] | None"]:
        """All packets, then an empty one, or None, that flushes. A container that breaks off ends there."""
        try:
            yield from read_packets(self.container, self.stream)
        except FFmpegError as error:
            self.last_error = reason_of(error)
            yield None

    def _judge(self, frame: VideoFrame) -> bool:
        """Whether `frame` is corrupt, given all that came before it."""
        if frame.is_corrupt:
            # Found out now, but the cause may be any packet sent so far.
            self._damaged_until = self._newest_pts
        elif self._damaged_until is not None and frame.key_frame:
            pts = frame.dts if frame.pts is None else frame.pts
            if pts is not None and pts > self._damaged_until:
                self._damaged_until = None
        return self._damaged_until is not None


# Between a packet that an MPEG-TS demuxer flags and the one that it misses something before lies one more.
PACKETS_AHEAD = 3


def _with_following(packets: Iterator[Item]) -> Iterator[tuple[Item, Sequence[Item]]]:
    """Each item, and the few that come after it."""
    held: deque[Item] = deque()
    for item in packets:
        held.append(item)
        if len(held) > PACKETS_AHEAD:
            yield held.popleft(), held
    while held:
        yield held.popleft(), held
