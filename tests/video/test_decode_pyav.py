from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tests.videos import Video, ffmpeg, read_number, read_numbers, write_video
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import Clip, ClipSpec, Color
from vbert.video.frame_scaler import _turns
from vbert.video.media import Segment, plan_segments, probe_video

SPEC = ClipSpec(clip_seconds=0.5, frames_per_clip=7, size=33, crop_share=1.0)


def decode_all(path: Path, spec: ClipSpec = SPEC) -> list[Clip]:
    seconds = probe_video(str(path)).duration_seconds
    (segment,) = plan_segments(seconds, clip_seconds=spec.clip_seconds, segment_seconds=1e6)
    return list(decode_clips(str(path), segment, spec))


def numbers_of(clips: list[Clip], spec: ClipSpec = SPEC) -> list[int]:
    return [number for clip in clips for number in read_numbers(clip, spec.size)]


def expected_numbers(num_clips: int, frame_seconds: list[Fraction], spec: ClipSpec = SPEC) -> list[int]:
    """By trying every frame: the last one shown at or before each slot's time."""
    slots = [
        Fraction(spec.clip_seconds) * slot / spec.frames_per_clip
        for slot in range(num_clips * spec.frames_per_clip)
    ]
    return [
        max([n for n, seconds in enumerate(frame_seconds) if seconds <= slot], default=0) for slot in slots
    ]


CONTAINERS = {
    "plain.mp4": Video(),
    "30_fps.mkv": Video(fps=Fraction(30)),  # 33, 67, 100 ms
    "ntsc.mkv": Video(fps=Fraction(30000, 1001)),
    "film.mp4": Video(fps=Fraction(24000, 1001), b_frames=2),
    "b_frames.mp4": Video(b_frames=3),
    "pyramid.mkv": Video(b_frames=3, options={"x264-params": "b-pyramid=normal:ref=4"}),
    "open_gop.mp4": Video(b_frames=2, options={"x264-params": "open-gop=1"}),
    "intra_refresh.mp4": Video(options={"x264-params": "intra-refresh=1"}),
    "fragmented.mp4": Video(b_frames=2, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "program.mpg": Video(codec="mpeg2video", b_frames=2),
    "transport.ts": Video(b_frames=2),
    "mpeg2.ts": Video(codec="mpeg2video", b_frames=2),
    "flash.flv": Video(codec="flv"),
    "windows.asf": Video(codec="wmv2"),
    "vp8.webm": Video(codec="libvpx", options={"deadline": "realtime"}),
    "vp9.webm": Video(codec="libvpx-vp9", options={"deadline": "realtime"}),
    "hevc.mp4": Video(codec="libx265", options={"x265-params": "log-level=none"}),
    "mjpeg.avi": Video(codec="mjpeg", pix_fmt="yuvj420p", color_range=2),
    "p_frames.avi": Video(codec="mpeg4"),
    "bare.h264": Video(fps=Fraction(20), b_frames=2),
}


@pytest.fixture(scope="module", params=CONTAINERS)
def contained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Video]:
    video = CONTAINERS[request.param]
    return write_video(tmp_path_factory.mktemp("containers") / request.param, video), video


def test_each_slot_shows_the_last_frame_at_or_before_its_time(contained: tuple[Path, Video]):
    path, video = contained
    num_clips = floor(video.num_frames / video.fps / Fraction(1, 2) + Fraction(1, 50))
    clips = list(decode_clips(str(path), Segment(index=0, first_clip=0, num_clips=99), SPEC))
    assert [clip.index for clip in clips] == list(range(num_clips))
    frame_seconds = [number / video.fps for number in range(video.num_frames)]
    assert numbers_of(clips) == expected_numbers(num_clips, frame_seconds)
    assert sum(clip.num_corrupt_frames for clip in clips) == 0


def test_a_segment_decoded_alone_is_the_same_as_in_one_pass(contained: tuple[Path, Video]):
    path, _ = contained
    for clip in decode_all(path):
        (alone,) = decode_clips(str(path), Segment(index=0, first_clip=clip.index, num_clips=1), SPEC)
        assert alone.index == clip.index
        np.testing.assert_array_equal(alone.frames, clip.frames)
        assert alone.num_frames_seen == clip.num_frames_seen


def test_avi_is_timed_by_decoding_which_is_steady_but_late_by_the_b_frames_delay(tmp_path: Path):
    path = write_video(tmp_path / "b_frames.avi", Video(codec="mpeg4", b_frames=2))
    late = [(number + 1) / Fraction(25) for number in range(50)]  # one frame of delay in MPEG-4
    clips = decode_all(path)
    assert numbers_of(clips) == expected_numbers(len(clips), late)
    for clip in clips:
        (alone,) = decode_clips(str(path), Segment(index=0, first_clip=clip.index, num_clips=1), SPEC)
        np.testing.assert_array_equal(alone.frames, clip.frames)


@pytest.mark.parametrize("name", ["variable.mkv", "variable.mp4"])
def test_a_variable_frame_rate_goes_by_each_frame_s_time(tmp_path: Path, name: str):
    pts = [0, 10, 20, 400, 410, 1100, 1490, 1500, 2100, 2990]
    video = Video(num_frames=len(pts), pts=pts, time_base=Fraction(1, 1000), b_frames=2)
    path = write_video(tmp_path / name, video)
    segment = Segment(index=0, first_clip=0, num_clips=6)
    clips = list(decode_clips(str(path), segment, SPEC))
    assert numbers_of(clips) == expected_numbers(6, [Fraction(ticks, 1000) for ticks in pts])
    assert [clip.num_frames_seen for clip in clips] == [5, 1, 3, 1, 2, 2]


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_a_video_that_starts_after_its_sound_keeps_the_sound_s_clock(tmp_path: Path, name: str):
    # AAC starts 1024 samples (128 ms) early, which players skip; MP4 says so, the others shift all of it.
    late = Video(start_seconds=Fraction(4, 5), audio_seconds=Fraction(3), b_frames=2)
    path = write_video(tmp_path / name, late)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        start = video.start_time * video.time_base - audio.start_time * audio.time_base
    assert Fraction(3, 4) < start < Fraction(19, 20)
    clips = decode_all(path)
    assert numbers_of(clips) == expected_numbers(
        len(clips), [start + number / Fraction(25) for number in range(50)]
    )


def test_a_stream_that_starts_at_an_hour_starts_at_zero(tmp_path: Path):
    path = write_video(tmp_path / "hour.ts", Video(start_seconds=Fraction(3600), b_frames=2))
    clips = decode_all(path)
    assert numbers_of(clips) == expected_numbers(4, [number / Fraction(25) for number in range(50)])


def test_frames_that_an_edit_list_hides_are_not_shown(tmp_path: Path):
    write_video(tmp_path / "whole.mp4", Video(b_frames=2))
    path = tmp_path / "cut.mp4"
    ffmpeg(
        "-ss", "0.8", "-i", tmp_path / "whole.mp4", "-c", "copy", path
    )  # keeps frames 12 to 19 for decoding
    clips = decode_all(path)
    expected = expected_numbers(2, [number / Fraction(25) for number in range(30)])
    assert numbers_of(clips) == [20 + number for number in expected]


def test_of_several_video_streams_the_largest_is_taken(tmp_path: Path):
    write_video(tmp_path / "large.mp4", Video())
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=48x32:duration=2", tmp_path / "small.mp4")
    path = tmp_path / "both.mp4"
    ffmpeg(
        "-i",
        tmp_path / "small.mp4",
        "-i",
        tmp_path / "large.mp4",
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        path,
    )
    assert numbers_of(decode_all(path))[:7] == [0, 1, 3, 5, 7, 8, 10]


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("size", [33, 48])
def test_the_picture_is_turned_as_a_player_would(tmp_path: Path, degrees: int, size: int):
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=3, size=size, crop_share=1.0)
    clip = decode_all(write_video(tmp_path / "turned.mp4", Video(rotation=degrees)), spec)[1]
    luma = clip.frames[:, : size * size].reshape(3, size, size)
    as_stored = np.rot90(luma, -degrees // 90, axes=(1, 2))  # the player turned it counter-clockwise
    assert [read_number(picture) for picture in as_stored] == [12, 16, 20]


def test_a_display_matrix_of_the_smallest_numbers_turns_the_picture_over():
    matrix = np.array([-(2**31), 0, 0, 0, -(2**31), 0, 0, 0, 2**30], np.int32)
    frame: Any = SimpleNamespace(side_data={"DISPLAYMATRIX": matrix})
    assert _turns(frame) == [("hflip",), ("vflip",)]


@pytest.mark.parametrize("degrees", [0, 47, 90, 133, 180, 270])
@pytest.mark.parametrize("flip", ["", "hflip", "vflip"])
def test_the_picture_is_turned_and_mirrored_as_the_ffmpeg_command_does(
    tmp_path: Path, degrees: int, flip: str
):
    turned = Video(num_frames=26, width=64, rotation=degrees, flip=flip)
    path = write_video(tmp_path / "turned.mp4", turned)
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=1, size=64, crop_share=1.0)
    (clip,) = decode_clips(str(path), Segment(index=0, first_clip=1, num_clips=1), spec)
    # The command turns the picture by any angle; we by the nearest quarter.
    quarter = replace(turned, rotation=round(degrees / 90) * 90)
    path = write_video(tmp_path / "quarter.mp4", quarter)
    raw = ffmpeg("-i", path, "-vf", r"select=eq(n\,12)", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-")
    expected = np.frombuffer(raw, np.uint8)
    assert set(np.unique(expected)) == {60, 128, 190}  # frame 12 shows some blocks
    np.testing.assert_array_equal(clip.frames[0], expected)


SHAPES = [(96, 64), (64, 96), (37, 67), (99, 35), (64, 64)]


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("size", [32, 29])
def test_any_picture_size_gives_the_centred_square(tmp_path: Path, width: int, height: int, size: int):
    # ffv1 takes odd sizes in 4:2:0.
    path = write_video(tmp_path / "odd.mkv", Video(width=width, height=height, codec="ffv1", num_frames=13))
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=5, size=size, crop_share=1.0)
    (clip,) = decode_all(path, spec)
    assert read_numbers(clip, size) == [0, 2, 5, 7, 10]
    assert clip.frames.shape == (5, size**2 + 2 * ((size + 1) // 2) ** 2)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.flags.c_contiguous
    assert set(np.unique(clip.frames[:, size**2 :])) == {128}


def test_the_crop_is_the_centre_s_share_of_the_shorter_side(tmp_path: Path):
    # Lossless, 64 rows of rising luma. Half of them, from row 16 on, fill 32 rows: nothing is interpolated.
    rows = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None] + 100, (64, 96))
    path = tmp_path / "ramp.mkv"
    ffmpeg_input = tmp_path / "ramp.gray"
    ffmpeg_input.write_bytes(rows.tobytes() * 13)
    raw = (
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-color_range",
        "tv",
        "-s",
        "96x64",
        "-r",
        "25",
        "-i",
        ffmpeg_input,
    )
    ffmpeg(*raw, "-vf", "scale=in_range=tv:out_range=tv,format=yuv420p", "-c:v", "ffv1", path)
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=1, size=32, crop_share=0.5)
    (clip,) = decode_all(path, spec)
    luma = clip.frames[0, : 32 * 32].reshape(32, 32)
    source = av.open(str(path))
    stored = next(source.decode(video=0)).to_ndarray(format="yuv420p")[:64, 48]
    source.close()
    np.testing.assert_array_equal(luma[:, 16], stored[16:48])


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path):
    # 128 x 96 pixels of 3:4 are shown as 96 x 96, all of them. The number fills 96 columns of 128, now 72.
    path = write_video(tmp_path / "narrow.mp4", Video(width=128, height=96, pixel_aspect=Fraction(3, 4)))
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=3, size=96, crop_share=1.0)
    luma = decode_all(path, spec)[1].frames[:, : 96 * 96].reshape(3, 96, 96)
    every_fourth_row_dropped = np.arange(96)[np.arange(96) % 4 > 0]
    assert [read_number(picture[every_fourth_row_dropped, 12:84]) for picture in luma] == [12, 16, 20]


COLORS = {
    "unspecified": (Video(), Color(matrix="bt601", full_range=False)),
    "limited_601": (Video(colorspace=6, color_range=1), Color(matrix="bt601", full_range=False)),
    "limited_709": (Video(colorspace=1, color_range=1), Color(matrix="bt709", full_range=False)),
    "limited_2020": (
        Video(colorspace=9, color_range=1, pix_fmt="yuv420p10le"),
        Color(matrix="bt2020", full_range=False),
    ),
    "full_709": (Video(colorspace=1, color_range=2), Color(matrix="bt709", full_range=True)),
    "full_10_bit": (Video(color_range=2, pix_fmt="yuv420p10le"), Color(matrix="bt601", full_range=True)),
    "yuvj420p": (
        Video(codec="mjpeg", pix_fmt="yuvj420p", color_range=2, options={"qmin": "1", "qmax": "1"}),
        Color(matrix="bt601", full_range=True),
    ),
    "4:2:2": (Video(pix_fmt="yuv422p"), Color(matrix="bt601", full_range=False)),
    "4:4:4": (Video(pix_fmt="yuv444p", colorspace=1), Color(matrix="bt709", full_range=False)),
}


@pytest.mark.parametrize("name", COLORS)
def test_luma_and_chroma_keep_their_stored_values_and_color_says_what_they_mean(tmp_path: Path, name: str):
    video, color = COLORS[name]
    path = write_video(tmp_path / "color.mkv", replace(video, num_frames=13, chroma=(90, 160)))
    (clip,) = decode_all(path)
    assert clip.color == color
    luma, u, v = np.split(clip.frames[0], [33 * 33, 33 * 33 + 17 * 17])
    assert np.abs(luma.astype(int) - 60).max() <= 2  # frame 0 is dark all over
    assert np.abs(u.astype(int) - 90).max() <= 2
    assert np.abs(v.astype(int) - 160).max() <= 2


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "bgr0"), ("libx264rgb", "rgb24"), ("ffv1", "gray")])
def test_rgb_and_gray_come_as_limited_bt601(tmp_path: Path, codec: str, pix_fmt: str):
    # Written as RGB from limited-range luma 60, they show (60 - 16) * 255 / 219 = 51, and come back as 60.
    path = write_video(tmp_path / "rgb.mkv", Video(num_frames=13, codec=codec, pix_fmt=pix_fmt))
    (clip,) = decode_all(path)
    assert clip.color == Color(matrix="bt601", full_range=False)
    assert read_numbers(clip, 33) == [0, 1, 3, 5, 7, 8, 10]
    assert np.abs(clip.frames[0, : 33 * 33].astype(int) - 60).max() <= 1
    assert np.abs(clip.frames[0, 33 * 33 :].astype(int) - 128).max() <= 1


def test_a_change_of_picture_size_in_the_middle_goes_on_in_the_same_clip(tmp_path: Path):
    parts = []
    for index, (width, height) in enumerate([(96, 64), (64, 48)]):
        part = Video(width=width, height=height, num_frames=20, start_seconds=Fraction(20 * index, 25))
        parts.append(write_video(tmp_path / f"{index}.ts", part).read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    clips = list(decode_clips(str(tmp_path / "both.ts"), Segment(index=0, first_clip=0, num_clips=3), SPEC))
    seconds = [number / Fraction(25) for number in range(40)]
    assert numbers_of(clips) == [number % 20 for number in expected_numbers(3, seconds)]


def test_skipping_the_loop_filter_changes_pixels_but_not_frames(tmp_path: Path):
    path = write_video(tmp_path / "blocky.mp4", Video(options={"crf": "40"}))
    segment = Segment(index=0, first_clip=1, num_clips=1)
    (filtered,) = decode_clips(str(path), segment, SPEC)
    (skipped,) = decode_clips(str(path), segment, SPEC, skip_loop_filter=True)
    assert read_numbers(skipped, 33) == read_numbers(filtered, 33)
    assert (skipped.frames != filtered.frames).any()
