"""Which frame is shown when: clips, the times of their frames, and the rule that picks source frames.

Clip k of T seconds covers [k*T, (k+1)*T) from the start of the presentation; its frame i is shown at
k*T + i*T/frames_per_clip. Both together are the grid: slot number k*frames_per_clip + i, counted from 0. The
frame for a slot is the last one shown at or before the slot's time, give or take half a tick of the
stream's time base, because containers round: Matroska ticks are 1 ms, so 30 fps frames lie at 33, 67, 100.
(At most 1 ms: where a tick is a whole frame, as in AVI, nothing was rounded.)
Pure arithmetic, and exact (integers and fractions): the thousandth hour is as right as the first second.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np

from vbert.errors import UserError, VideoError
from vbert.video.media import Segment, exact

Frame = TypeVar("Frame")
Interpolation = Literal["bilinear", "bicubic"]

# Half a tick of QuickTime's clock of 1/600 s is 0.83 ms; no coarser one holds rounded times.
LARGEST_TOLERANCE_SECONDS = Fraction(1, 1000)

# Twice the tolerance is 2 ms: a frame is never near two slots at once.
SMALLEST_STEP_SECONDS = Fraction(4, 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSpec:
    """What a clip looks like: how long, how many frames, how large, how much of the picture, how scaled."""

    clip_seconds: float
    """Length of a clip."""
    frames_per_clip: int
    """Frames, evenly spaced from the clip's start."""
    size: int
    """Height and width of a frame; may be odd."""
    crop_share: float
    """Side of the centred square over the shorter side of the picture, e.g. 224 / 256."""
    interpolation: Interpolation = "bicubic"
    """How pictures are scaled, averaging over what lies between; bilinear takes 0.6 of bicubic's time."""

    def __post_init__(self) -> None:
        if not 0 < self.clip_seconds < float("inf"):
            raise UserError(f"clip_seconds must be positive, got {self.clip_seconds}")
        if self.frames_per_clip < 1:
            raise UserError(f"frames_per_clip must be at least 1, got {self.frames_per_clip}")
        if self.clip_seconds / self.frames_per_clip < SMALLEST_STEP_SECONDS:
            raise UserError(
                f"frames must be at least {float(SMALLEST_STEP_SECONDS)} s apart, "
                f"got clip_seconds {self.clip_seconds} / frames_per_clip {self.frames_per_clip}"
            )
        if self.size < 1:
            raise UserError(f"size must be at least 1, got {self.size}")
        if not 0 < self.crop_share <= 1:
            raise UserError(f"crop_share must be in (0, 1], got {self.crop_share}")

    @property
    def yuv_bytes(self) -> int:
        """Bytes of a planar yuv420p frame: Y, then U and V at half the size, rounded up."""
        return self.size**2 + 2 * ((self.size + 1) // 2) ** 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Color:
    """How the bytes of a clip turn into RGB."""

    matrix: Literal["bt601", "bt709", "bt2020", "rgb"]
    """Of YCbCr; "rgb": the bytes are RGB already."""
    full_range: bool
    """Luma uses 0..255 rather than 16..235."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Clip:
    """The frames of one clip, as bytes.

    `frames` is uint8 [frames_per_clip, bytes]: planar yuv420p, Y of size*size, then U, then V of
    ceil(size/2)^2 each; for `color.matrix` "rgb" it is [frames_per_clip, size, size, 3].
    `num_frames_seen` counts the source's frames that are on screen in the clip's span, chosen or not, and
    `num_corrupt_frames` those of them that are damaged, depend on damage, or are missing because of it.
    """

    index: int
    frames: np.ndarray
    color: Color
    num_corrupt_frames: int
    num_frames_seen: int


class FrameGrid:
    """The grid in ticks of one stream's time base; `origin_seconds` is the presentation's time 0 in it."""

    def __init__(self, spec: ClipSpec, *, time_base: Fraction, origin_seconds: Fraction) -> None:
        clip_seconds = exact(spec.clip_seconds)
        self.frames_per_clip = spec.frames_per_clip
        self._time_base = time_base
        self._origin_seconds = origin_seconds
        self._slots = _Ruler(clip_seconds / spec.frames_per_clip, time_base, origin_seconds)
        self._clips = _Ruler(clip_seconds, time_base, origin_seconds)

    def first_slot(self, ticks: int) -> int:
        """The first slot that a frame of time `ticks` may be shown in; it stays until the next frame's."""
        return self._slots.first_mark_from(ticks)

    def clip_at(self, ticks: int) -> int:
        """The clip whose span holds the time `ticks`."""
        return self._clips.last_mark_until(ticks)

    def last_clip_before(self, ticks: int) -> int:
        """The last clip that begins before the time `ticks`."""
        return self._clips.first_mark_from(ticks) - 1

    def slot_ticks(self, slot: int) -> int:
        """The time of `slot`, rounded down to a tick."""
        return self._slots.ticks_of(slot)

    def ticks(self, seconds: Fraction) -> int:
        """The time `seconds` of the presentation, rounded down to a tick."""
        return int((seconds + self._origin_seconds) // self._time_base)

    def seconds(self, ticks: int) -> float:
        """Seconds of the presentation."""
        return float(ticks * self._time_base - self._origin_seconds)


class _Ruler:
    """Marks every `step_seconds` from the origin. Ticks compare with them in integers, with a tolerance."""

    def __init__(self, step_seconds: Fraction, time_base: Fraction, origin_seconds: Fraction) -> None:
        tolerance_seconds = min(time_base / 2, LARGEST_TOLERANCE_SECONDS)
        in_steps = [seconds / step_seconds for seconds in (time_base, origin_seconds, tolerance_seconds)]
        self._step = lcm(*(fraction.denominator for fraction in in_steps))
        self._tick, self._origin, self._tolerance = (int(fraction * self._step) for fraction in in_steps)

    def first_mark_from(self, ticks: int) -> int:
        """The first mark at or after `ticks`."""
        return -((self._tolerance + self._origin - ticks * self._tick) // self._step)

    def last_mark_until(self, ticks: int) -> int:
        """The last mark at or before `ticks`."""
        return (ticks * self._tick - self._origin + self._tolerance) // self._step

    def ticks_of(self, mark: int) -> int:
        return (mark * self._step + self._origin) // self._tick


class TimedFrame(NamedTuple, Generic[Frame]):
    """A frame from a decoder, its time, and whether to trust it; without a frame, it is the stream's end."""

    ticks: int
    frame: Frame | None
    is_corrupt: bool = False
    """It is damaged, or was decoded after damage and before the next sound keyframe."""
    follows_damage: bool = False
    """Frames may be lost between the one before and this one."""


class ClipBuilder(Generic[Frame]):
    """Puts a stream's frames into the slots of one segment's clips, and counts what each clip has seen.

    `picture` turns a frame into uint8 of `picture_shape`, and is called for the chosen frames only.
    """

    def __init__(
        self,
        grid: FrameGrid,
        segment: Segment,
        *,
        picture: Callable[[Frame], np.ndarray],
        picture_shape: tuple[int, ...],
        color: Color,
        one_frame_ticks: int,
    ) -> None:
        self._grid = grid
        self._picture = picture
        self._color = color
        self._one_frame_ticks = one_frame_ticks
        self._clip_shape = (grid.frames_per_clip, *picture_shape)
        self._clips = range(segment.first_clip, segment.first_clip + segment.num_clips)
        self._next_slot = segment.first_clip * grid.frames_per_clip
        self._num_seen: Counter[int] = Counter()
        self._num_corrupt: Counter[int] = Counter()
        self._frames = np.empty(self._clip_shape, np.uint8)

    def clips(self, frames: Iterable[TimedFrame[Frame]], *, promised_end_ticks: int) -> Iterator[Clip]:
        """The clips that `frames` cover, each as soon as it is over; frames may begin before the segment.

        Before the first frame, the first is shown. A clip is covered if the stream ends no more than one
        frame's duration before the clip does; clip 0 of a shorter stream holds the last frame, and what is
        missing until `promised_end_ticks` counts as corrupt. Raises VideoError if no clip is covered.
        """
        held: TimedFrame[Frame] | None = None
        for timed in frames:
            if held is not None:
                self._count(held, until_ticks=timed.ticks)
                if timed.follows_damage:
                    self._count_lost(held.ticks, timed.ticks)
                if timed.frame is None:
                    yield from self._last_clips(held, timed.ticks, promised_end_ticks)
                    return
                yield from self._show(held, until_slot=self._grid.first_slot(timed.ticks))
                if self._grid.clip_at(timed.ticks) >= self._clips.stop:
                    yield self._finish(self._clips.stop - 1)
                    return
            held = timed

    def _show(self, held: TimedFrame[Frame], *, until_slot: int) -> Iterator[Clip]:
        """Fill the slots of `held`, and yield the clips that are over by then."""
        slots = range(self._next_slot, min(until_slot, self._clips.stop * self._grid.frames_per_clip))
        if not slots:
            return
        assert held.frame is not None  # the stream's end is not held
        picture = self._picture(held.frame)
        for slot in slots:
            clip, index = divmod(slot, self._grid.frames_per_clip)
            if index == 0 and clip > self._clips.start:
                yield self._finish(clip - 1)
            self._frames[index] = picture
        self._next_slot = slots.stop

    def _last_clips(self, held: TimedFrame[Frame], end_ticks: int, promised_end_ticks: int) -> Iterator[Clip]:
        end_clip = self._grid.clip_at(end_ticks + self._one_frame_ticks)
        if end_clip == 0:
            end_clip = 1
            clip_end_ticks = self._grid.slot_ticks(self._grid.frames_per_clip)
            self._count_lost(end_ticks - self._one_frame_ticks, min(promised_end_ticks, clip_end_ticks))
        if end_clip <= self._clips.start:
            seconds = self._grid.seconds(end_ticks)
            raise VideoError(
                "decode", f"the stream ends at {seconds:.3f} s, before clip {self._clips.start} does"
            )
        end_slot = min(end_clip, self._clips.stop) * self._grid.frames_per_clip
        yield from self._show(held, until_slot=end_slot)
        if self._next_slot == end_slot:
            yield self._finish(end_slot // self._grid.frames_per_clip - 1)

    def _count(self, held: TimedFrame[Frame], *, until_ticks: int) -> None:
        """Count a frame in every clip that it is on screen in."""
        begun = min(self._grid.clip_at(held.ticks), self._next_slot // self._grid.frames_per_clip)
        gone = max(begun, self._grid.last_clip_before(until_ticks)) + 1
        for clip in range(max(begun, self._clips.start), min(gone, self._clips.stop)):
            self._num_seen[clip] += 1
            self._num_corrupt[clip] += held.is_corrupt

    def _count_lost(self, last_ticks: int, next_ticks: int) -> None:
        """Count the frames missing between two that are there, each in the clip that it belongs to."""
        begin, end = (
            (self._grid.slot_ticks(clip * self._grid.frames_per_clip) - last_ticks) // self._one_frame_ticks
            for clip in (self._clips.start, self._clips.stop)
        )
        num_lost = round((next_ticks - last_ticks) / self._one_frame_ticks) - 1
        for number in range(max(1, begin), min(num_lost, end + 1) + 1):  # a jump may be of years
            clip = self._grid.clip_at(last_ticks + number * self._one_frame_ticks)
            if clip in self._clips:
                self._num_seen[clip] += 1
                self._num_corrupt[clip] += 1

    def _finish(self, index: int) -> Clip:
        frames, self._frames = self._frames, np.empty(self._clip_shape, np.uint8)
        return Clip(
            index=index,
            frames=frames,
            color=self._color,
            num_corrupt_frames=self._num_corrupt.pop(index, 0),
            num_frames_seen=self._num_seen.pop(index, 0),
        )


def timed_indices(
    frame_ticks: Sequence[int], grid: FrameGrid, segment: Segment, *, one_frame_ticks: int
) -> Iterator[TimedFrame[int]]:
    """The sorted `frame_ticks` with their indices, from the frame that the segment begins with; the end."""
    first_slot = segment.first_clip * grid.frames_per_clip
    begin = bisect_right(frame_ticks, first_slot, key=grid.first_slot) - 1
    for index in range(max(0, begin), len(frame_ticks)):
        yield TimedFrame(frame_ticks[index], index)
    if frame_ticks:
        yield TimedFrame(frame_ticks[-1] + one_frame_ticks, None)


def crop_box(
    width: int, height: int, *, crop_share: float, pixel_aspect: Fraction = Fraction(1)
) -> tuple[int, int, int, int]:
    """(x, y, width, height) in pixels of the centred part of a picture that is a square when shown.

    `pixel_aspect` is a pixel's width over its height. All four are even where the picture allows it, because
    most video has one chroma sample for two pixels: so a crop moves no chroma.
    """
    side = exact(crop_share) * min(width * pixel_aspect, Fraction(height))
    crop_width, crop_height = _even(side / pixel_aspect, limit=width), _even(side, limit=height)
    return (width - crop_width) // 4 * 2, (height - crop_height) // 4 * 2, crop_width, crop_height


def _even(length: Fraction, *, limit: int) -> int:
    return min(max(2, 2 * round(length / 2)), max(1, limit // 2 * 2))
