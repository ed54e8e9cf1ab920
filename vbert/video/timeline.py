"""The one clock of a stream: what its timestamps mean when they lie, and where the stream really ends.

A timestamp counts as long as the next ones bear it out. One that they contradict costs its own frame; a clock
that starts again goes on where it was, as in players. The same rule serves frames and packets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any, Generic, NamedTuple, TypeVar

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vbert.video.opening import (
    FORMATS_TIMED_BY_DECODING,
    frame_ticks,
    holds_frame,
    is_bare,
    presentation_start,
    read_packets,
    repeats_frame,
    time_base,
)

Item = TypeVar("Item")

# A clock that goes back by less is jitter: the frames keep their order, and come together.
JITTER_SECONDS = Fraction(1, 2)

# Formats whose clock may be set anew (AVFMT_TS_DISCONT) leave a gap no longer than this many seconds and
# frames in what is one recording. FFmpeg's own limit is 10 s (`dts_delta_threshold`).
CLOCK_MAY_JUMP_FLAG = 0x0200
LONGEST_GAP_SECONDS = 10
LONGEST_GAP_FRAMES = 100

# How far apart the times of showing and of decoding a packet may be: a codec holds 16 frames at most.
MAX_REORDERED_FRAMES = 20


class Stamped(NamedTuple, Generic[Item]):
    """What a container says of a frame or packet: its time and duration in ticks."""

    stamp: int | None
    duration: int
    item: Item


class Placed(NamedTuple, Generic[Item]):
    """A frame or packet on the stream's one clock."""

    ticks: int
    stamp: int | None
    item: Item
    is_wrong: bool = False
    """Its timestamp is contradicted by the next one, and was not followed."""
    is_new_clock: bool = False
    """The clock was set anew before it."""


def longest_gap(container: InputContainer, stream: Stream, *, frame_ticks: int) -> float:
    """In ticks; a timestamp that is further on than this is of another recording."""
    if not container.format.flags & CLOCK_MAY_JUMP_FLAG:
        return float("inf")
    return max(float(LONGEST_GAP_SECONDS / time_base(stream)), float(LONGEST_GAP_FRAMES * frame_ticks))


class Clock:
    """Puts the frames of one stream, of pictures or of sound, on one clock that never goes back."""

    def __init__(self, container: InputContainer, stream: Stream, *, frame_ticks: int) -> None:
        """`frame_ticks`: how long a frame usually lasts."""
        self._jitter = int(JITTER_SECONDS / time_base(stream))
        self._longest_gap = longest_gap(container, stream, frame_ticks=frame_ticks)
        self._raw = self._expected = 0  # by the clock of the container: the last frame, and the next
        self._offset = self._offset_before = 0  # from that clock to ours; before it was last set

    def place(self, stamped: Iterable[Stamped[Item]], *, first_ticks: int | None) -> Iterator[Placed[Item]]:
        """Each item as soon as the one after it is known.

        A first item without a time is at `first_ticks`; if that is None, nothing comes.
        """
        ticks: int | None = None
        for this, following in pairwise(chain(stamped, [None])):
            assert this is not None  # only the last is
            after = following.stamp if following else None
            is_wrong = is_new_clock = False
            if ticks is None:
                if this.stamp is None and first_ticks is None:
                    return
                raw = first_ticks if this.stamp is None else this.stamp
                assert raw is not None
                if after is not None and after < raw - self._jitter:
                    raw, is_wrong = after - this.duration, True
                ticks = raw
            else:
                raw, is_wrong, is_new_clock = self._follow(this.stamp, after)
                ticks = max(ticks, raw + self._offset)
            self._raw, self._expected = raw, raw + this.duration
            yield Placed(ticks, this.stamp, this.item, is_wrong, is_new_clock)

    def _follow(self, stamp: int | None, after: int | None) -> tuple[int, bool, bool]:
        """The raw time of the next item, whether its stamp is wrong, and whether it sets the clock anew."""
        if stamp is None:
            return self._expected, False, False
        is_back = stamp < self._raw - self._jitter
        if not is_back and stamp <= self._expected + self._jitter:
            return stamp, False, False
        is_contradicted = after is not None and (is_back or after < stamp - self._jitter)
        if is_contradicted and after is not None and after >= self._raw - self._jitter:
            return self._expected, True, False
        if is_back and after is None:
            return self._expected, True, False
        our_next = self._expected + self._offset
        if abs(stamp + self._offset_before - our_next) <= self._jitter:  # several wrong ones, and back
            self._offset, self._offset_before = self._offset_before, self._offset
            return stamp, False, True
        if is_back or stamp - self._expected > self._longest_gap:
            self._offset, self._offset_before = our_next - stamp, self._offset
            return stamp, False, True
        return stamp, False, False


@dataclass(frozen=True, kw_only=True, slots=True)
class PacketTimes:
    """What the packets of a stream say of its time."""

    end_seconds: float
    """Of the presentation, when the last frame is over."""
    num_packets: int
    num_wrong: int
    """Timestamps that were not followed."""
    num_new_clocks: int
    """How often the clock was set anew."""
    others_end_seconds: float
    """The same of the other streams that are read."""
    is_broken_off: bool
    """The last packet is cut short."""
    end_bytes: int
    """Where in the file the last packet ends; 0 where the container does not say."""


class _Times(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int


def read_packet_times(container: InputContainer, stream: VideoStream) -> PacketTimes:
    """The time of the packets from where the container is to its end; nothing is decoded.

    FFmpeg's errors on the way end the stream, as they do in decoding.
    """
    one_frame = frame_ticks(container, stream)
    times: list[_Times] = []
    end_bytes = 0
    others_end = Fraction(0)
    is_broken_off = False
    may_jump = container.format.flags & CLOCK_MAY_JUMP_FLAG  # then packets are flagged for other reasons
    for packet in _packets(container):
        end_bytes = max(end_bytes, packet.size + packet.pos if packet.pos else 0)
        if packet.size:
            is_broken_off = packet.is_corrupt and not may_jump
        if packet.stream_index != stream.index:
            if packet.pts is not None and packet.time_base:
                others_end = max(others_end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        elif not packet.is_discard and (holds_frame(packet) or repeats_frame(packet)):
            # An edit list has some discarded.
            duration = one_frame if is_bare(container) else packet.duration or one_frame
            times.append(_Times(packet.pts, packet.dts, duration))
    is_decoding_known = any(each.dts is not None for each in times)
    stamped = (
        Stamped(each.dts if is_decoding_known else each.pts, each.duration, each)
        for each in times
        if not (is_decoding_known and each.dts is None)
    )
    late = MAX_REORDERED_FRAMES * one_frame + int(1 / time_base(stream))
    num_wrong = num_new = 0
    parts: list[range] = []  # by the clock of each: from the first frame's time to the last one's end
    clock = Clock(container, stream, frame_ticks=one_frame)
    for placed in clock.place(stamped, first_ticks=stream.start_time or 0):
        times_of = placed.item
        shown = placed.ticks if placed.stamp is None else placed.stamp
        if times_of.pts is not None and container.format.name not in FORMATS_TIMED_BY_DECODING:
            shown = times_of.pts
        if placed.is_wrong or (times_of.dts is not None and abs(shown - times_of.dts) > late):
            num_wrong += 1
            continue
        span = range(shown, shown + times_of.duration)
        if placed.is_new_clock or not parts:
            num_new += placed.is_new_clock
            parts.append(span)
        else:
            parts[-1] = range(min(parts[-1].start, span.start), max(parts[-1].stop, span.stop))
    end = parts[0].start + sum(len(part) for part in parts) if parts else 0
    return PacketTimes(
        end_seconds=float(end * time_base(stream) - presentation_start(container)),
        num_packets=len(times),
        num_wrong=num_wrong,
        num_new_clocks=num_new,
        others_end_seconds=float(others_end - presentation_start(container)),
        is_broken_off=is_broken_off,
        end_bytes=end_bytes,
    )


def _packets(container: InputContainer) -> Iterator["Packet[Any]"]:
    try:
        yield from read_packets(container)
    except FFmpegError as error:
        if isinstance(error, MemoryError):
            raise


# FFmpeg reads as much of a file when it opens it (`probesize`), and mixes what it sees into its index: where
# the file is joined from several, places of a later part take those of the first.
SEEN_WHEN_OPENED_BYTES = 5_000_000


def is_index_doubtful(container: InputContainer) -> bool:
    """Whether the index of a Matroska file may hold places of a second file behind the first."""
    return container.format.name == "matroska,webm" and 0 < container.size <= 2 * SEEN_WHEN_OPENED_BYTES


def longest_without_keyframe(stream: VideoStream, *, end_seconds: float) -> float:
    """The longest stretch in seconds, by the container's index, that has no keyframe to seek to."""
    ticks = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
    base = float(time_base(stream))
    marks = sorted(tick * base for tick in ticks)
    if not marks:
        return end_seconds
    return max(later - earlier for earlier, later in pairwise([*marks, max(end_seconds, marks[-1])]))
