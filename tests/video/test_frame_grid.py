from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from vbert.errors import UserError, VideoError
from vbert.video.frame_grid import (
    Clip,
    ClipBuilder,
    ClipSpec,
    Color,
    FrameGrid,
    TimedFrame,
    crop_box,
    timed_indices,
)
from vbert.video.media import Segment

MILLISECONDS = Fraction(1, 1000)
PAPER = ClipSpec(clip_seconds=1.5, frames_per_clip=30, size=224, crop_share=0.875)
TENTHS = ClipSpec(clip_seconds=0.5, frames_per_clip=5, size=7, crop_share=1.0)


def grid_of(
    spec: ClipSpec, *, time_base: Fraction = MILLISECONDS, origin: Fraction = Fraction(0)
) -> FrameGrid:
    return FrameGrid(spec, time_base=time_base, origin_seconds=origin)


def build(
    spec: ClipSpec, segment: Segment, frames: list[TimedFrame[int]], *, one_frame: int = 40, promised: int = 0
) -> tuple[list[Clip], list[int]]:
    """Build clips of one-byte pictures that hold the frame's number; also return what was asked for."""
    asked: list[int] = []

    def picture(number: int) -> np.ndarray:
        asked.append(number)
        return np.array([number], np.uint8)

    builder: ClipBuilder[int] = ClipBuilder(
        grid_of(spec),
        segment,
        picture=picture,
        picture_shape=(1,),
        color=Color(matrix="bt601", full_range=False),
        one_frame_ticks=one_frame,
    )
    return list(builder.clips(iter(frames), promised_end_ticks=promised)), asked


def shown(clips: list[Clip]) -> dict[int, list[int]]:
    return {clip.index: clip.frames[:, 0].tolist() for clip in clips}


def seen(clips: list[Clip]) -> dict[int, tuple[int, int]]:
    return {clip.index: (clip.num_corrupt_frames, clip.num_frames_seen) for clip in clips}


def steady(num_frames: int, *, step: int = 40) -> list[TimedFrame[int]]:
    """`num_frames` sound frames from time 0 and the end of the stream, in ms."""
    frames = [TimedFrame(number * step, number) for number in range(num_frames)]
    return [*frames, TimedFrame(num_frames * step, None)]


def test_a_frame_is_shown_from_its_time_until_the_next_frame_comes():
    # Slots at 0, 100, 200, ... ms; frames at 0, 40, 80, ...: the last at or before 300 ms is 280 = 7 * 40.
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=2), steady(25))
    assert shown(clips) == {0: [0, 2, 5, 7, 10], 1: [12, 15, 17, 20, 22]}


def test_only_the_frames_that_are_shown_are_turned_into_pictures():
    _, asked = build(TENTHS, Segment(index=0, first_clip=0, num_clips=1), steady(25))
    assert asked == [0, 2, 5, 7, 10]


def test_matroska_s_rounded_times_choose_the_frames_that_exact_times_would():
    # 30 fps in whole milliseconds: 0, 33, 67, 100. Slot n of 1/30 s must show frame n, though 67 > 66.67.
    spec = ClipSpec(clip_seconds=1, frames_per_clip=30, size=7, crop_share=1.0)
    grid = grid_of(spec)
    assert [grid.first_slot(round(number * 1000 / 30)) for number in range(3000)] == list(range(3000))


def test_a_frame_late_by_more_than_half_a_tick_waits_for_the_next_slot():
    grid = grid_of(TENTHS)
    assert [grid.first_slot(ticks) for ticks in (99, 100, 101)] == [1, 1, 2]


def test_a_coarse_clock_is_not_taken_for_a_rounded_one():
    # AVI counts in frames: half a tick of 1/10 s would show frame 1 (at 100 ms) in the slot of 50 ms.
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=10, size=7, crop_share=1.0)
    grid = grid_of(spec, time_base=Fraction(1, 10))
    assert [grid.first_slot(ticks) for ticks in range(4)] == [0, 2, 4, 6]


def test_a_thousand_hours_in_no_drift_has_built_up():
    # NTSC film, 24000/1001 fps on a clock of 1/24000 s; a clip of 36 frames lasts 1.5015 s.
    spec = ClipSpec(clip_seconds=1.5015, frames_per_clip=36, size=7, crop_share=1.0)
    grid = grid_of(spec, time_base=Fraction(1, 24000))
    far = 1000 * 3600 * 24
    assert [grid.first_slot(number * 1001) for number in range(far, far + 5)] == list(range(far, far + 5))
    assert grid.clip_at(far * 1001) == far // 36


@pytest.mark.parametrize(("clip_seconds", "exact"), [(0.1, Fraction(1, 10)), (32 / 30, Fraction(16, 15))])
def test_a_clip_length_typed_as_a_float_is_the_fraction_that_was_meant(clip_seconds: float, exact: Fraction):
    spec = ClipSpec(clip_seconds=clip_seconds, frames_per_clip=2, size=7, crop_share=1.0)
    ticks = 10**9 * exact
    assert grid_of(spec, time_base=Fraction(1, 15)).first_slot(int(ticks * 15)) == 2 * 10**9


def test_time_zero_is_the_presentation_s_start_not_the_stream_s():
    grid = grid_of(TENTHS, origin=Fraction(14, 10))
    assert grid.first_slot(1400) == 0
    assert grid.clip_at(1899) == 0
    assert grid.clip_at(1900) == 1
    assert grid.slot_ticks(5) == 1900
    assert grid.ticks(Fraction(1, 2)) == 1900
    assert grid.seconds(1900) == 0.5


def test_before_the_first_frame_the_first_is_shown():
    frames = [TimedFrame(250, 0), TimedFrame(400, 1), TimedFrame(1000, None)]
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=2), frames)
    assert shown(clips) == {0: [0, 0, 0, 0, 1], 1: [1, 1, 1, 1, 1]}
    assert seen(clips) == {0: (0, 2), 1: (0, 1)}


def test_a_clip_counts_every_frame_on_screen_in_its_span_chosen_or_not():
    # 40 ms a frame: 0..480 begin in [0, 500), 13 frames; 480 is still on at 500, then 520..960: 1 + 12.
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=2), steady(25))
    assert seen(clips) == {0: (0, 13), 1: (0, 13)}


def test_a_segment_counts_the_same_when_its_first_frame_was_decoded_before_it_begins():
    clips, _ = build(TENTHS, Segment(index=1, first_clip=1, num_clips=1), steady(25)[7:])
    assert seen(clips) == {1: (0, 13)}
    assert shown(clips) == {1: [12, 15, 17, 20, 22]}


def test_a_corrupt_frame_held_over_a_clip_makes_all_of_it_corrupt():
    frames = [TimedFrame(0, 0), TimedFrame(400, 1, is_corrupt=True), TimedFrame(1500, None)]
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=3), frames)
    assert seen(clips) == {0: (1, 2), 1: (1, 1), 2: (1, 1)}


def test_frames_lost_to_damage_count_as_corrupt_where_they_would_have_been():
    # 40 ms a frame: between 440 and 600 are 480 in clip 0, 520 and 560 in clip 1.
    frames = [*steady(12)[:-1], TimedFrame(600, 15, follows_damage=True), TimedFrame(1000, None)]
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=2), frames)
    assert seen(clips) == {0: (1, 13), 1: (2, 4)}  # clip 1: 440 is still on, two are lost, 600 holds


def test_a_jump_of_centuries_takes_no_longer_than_one_to_the_end_of_the_segment():
    frames = [*steady(12)[:-1], TimedFrame(2**62, 15, follows_damage=True), TimedFrame(2**62 + 40, None)]
    clips, _ = build(TENTHS, Segment(index=0, first_clip=1, num_clips=2), frames)
    assert seen(clips) == {1: (12, 13), 2: (13, 14)}  # lost: 520 to 960, and 1000 to 1480


def test_a_frame_held_long_without_damage_is_not_a_loss():
    frames = [TimedFrame(0, 0), TimedFrame(900, 1), TimedFrame(1000, None)]
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=2), frames)
    assert seen(clips) == {0: (0, 1), 1: (0, 2)}


@pytest.mark.parametrize(("end", "indices"), [(920, [0]), (960, [0, 1]), (1000, [0, 1])])
def test_a_clip_is_there_if_the_stream_covers_it_up_to_one_frame(end: int, indices: list[int]):
    frames = [TimedFrame(ticks, 0) for ticks in range(0, end, 40)]
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=9), [*frames, TimedFrame(end, None)])
    assert [clip.index for clip in clips] == indices


def test_a_stream_shorter_than_a_clip_gives_one_that_holds_the_last_frame():
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=1), steady(4), promised=160)
    assert shown(clips) == {0: [0, 2, 3, 3, 3]}
    assert seen(clips) == {0: (0, 4)}


def test_what_the_header_promises_beyond_the_end_of_a_short_stream_counts_as_corrupt():
    # The frames end at 160 ms, the header says 10 s: of 13 frames in the clip (500 / 40), 9 are missing.
    clips, _ = build(TENTHS, Segment(index=0, first_clip=0, num_clips=20), steady(4), promised=10_000)
    assert [clip.index for clip in clips] == [0]
    assert seen(clips) == {0: (9, 13)}


def test_one_frame_a_clip_waits_for_the_end_of_the_clip():
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=1, size=7, crop_share=1.0)
    clips, _ = build(spec, Segment(index=0, first_clip=0, num_clips=9), steady(28))  # until 1.12 s
    assert shown(clips) == {0: [0], 1: [12]}
    assert seen(clips) == {0: (0, 13), 1: (0, 13)}


def test_a_segment_after_the_end_says_where_the_stream_ended():
    with pytest.raises(VideoError, match=r"decode: the stream ends at 1\.000 s, before clip 3 does"):
        build(TENTHS, Segment(index=3, first_clip=3, num_clips=2), steady(25))


def test_a_clip_is_handed_out_before_the_next_is_filled():
    def frames() -> Iterator[TimedFrame[int]]:
        for timed in steady(25):
            latest.append(timed.ticks)
            yield timed

    latest: list[int] = []
    builder: ClipBuilder[int] = ClipBuilder(
        grid_of(TENTHS),
        Segment(index=0, first_clip=0, num_clips=2),
        picture=lambda number: np.array([number], np.uint8),
        picture_shape=(1,),
        color=Color(matrix="bt601", full_range=False),
        one_frame_ticks=40,
    )
    next(builder.clips(frames(), promised_end_ticks=0))
    assert latest[-1] == 520  # the first frame after the clip


def test_frames_by_number_begin_with_the_one_that_the_segment_begins_with():
    grid = grid_of(TENTHS)
    segment = Segment(index=1, first_clip=1, num_clips=1)
    timed = list(timed_indices([0, 200, 490, 510, 900], grid, segment, one_frame_ticks=40))
    assert timed == [TimedFrame(490, 2), TimedFrame(510, 3), TimedFrame(900, 4), TimedFrame(940, None)]
    assert not list(timed_indices([], grid, segment, one_frame_ticks=40))
    late = list(timed_indices([700], grid, segment, one_frame_ticks=40))
    assert late == [TimedFrame(700, 0), TimedFrame(740, None)]


@pytest.mark.parametrize(("size", "num_bytes"), [(224, 75_264), (299, 89_401 + 2 * 22_500), (1, 3)])
def test_a_frame_is_luma_and_two_chroma_planes_of_half_the_size_rounded_up(size: int, num_bytes: int):
    assert ClipSpec(clip_seconds=1.5, frames_per_clip=30, size=size, crop_share=1.0).yuv_bytes == num_bytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_seconds": 0.0}, "clip_seconds must be positive, got 0.0"),
        ({"clip_seconds": float("nan")}, "clip_seconds must be positive, got nan"),
        ({"frames_per_clip": 0}, "frames_per_clip must be at least 1, got 0"),
        (
            {"frames_per_clip": 500},
            "frames must be at least 0.004 s apart, got clip_seconds 1.5 / frames_per_clip 500",
        ),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"crop_share": 1.1}, r"crop_share must be in \(0, 1\], got 1.1"),
    ],
)
def test_a_clip_that_cannot_be_is_refused_with_its_value(change: dict[str, float], message: str):
    good = {"clip_seconds": 1.5, "frames_per_clip": 30, "size": 224, "crop_share": 0.875}
    with pytest.raises(UserError, match=message):
        ClipSpec(**{**good, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "height", "crop_share", "pixel_aspect", "box"),
    [
        (640, 360, 1.0, Fraction(1), (140, 0, 360, 360)),
        (640, 360, 0.875, Fraction(1), (162, 22, 316, 316)),  # 315, to the next even number up
        (360, 640, 1.0, Fraction(1), (0, 140, 360, 360)),
        (37, 67, 1.0, Fraction(1), (0, 14, 36, 36)),
        (720, 576, 1.0, Fraction(16, 15), (90, 0, 540, 576)),  # 540 * 16 / 15 = 576
        (3, 2, 0.01, Fraction(1), (0, 0, 2, 2)),
        (1, 1, 1.0, Fraction(1), (0, 0, 1, 1)),
    ],
)
def test_the_crop_is_the_centred_square_as_shown_on_even_pixels(
    width: int, height: int, crop_share: float, pixel_aspect: Fraction, box: tuple[int, int, int, int]
):
    assert crop_box(width, height, crop_share=crop_share, pixel_aspect=pixel_aspect) == box
