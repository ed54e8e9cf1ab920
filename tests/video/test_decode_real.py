"""Real videos: against the ffmpeg binary (another FFmpeg), and segments against one pass."""

import random
import re
import subprocess
from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.videos import FFMPEG
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import Clip, ClipSpec, Interpolation, crop_box
from vbert.video.media import Segment, exact, plan_segments, probe_video

VIDEOS = [
    "Megamind.avi",  # MPEG-4 with B-frames, no presentation times
    "asl/bird.mkv",  # full range, starts at 33 ms
    "asl/walk.mkv",
    "av1_video.mkv",
    "bikes.mp4",
    "bottle-detection.mp4",  # 179/6 fps
    "car-detection.mp4",
    "echo-hereweare.webm",  # VP8, variable rate
    "h264_10bits.mp4",
    "h265_video.mp4",
    "nasa_13013.mp4",  # two video streams
    "pancake.mkv",
    "rotated_0.mov",
    "rotated_90.mov",
    "rotated_180.mov",
    "rotated_270.mov",
    "broken/unordered.mov",
]


def spec_for(path: Path, *, size: int = 45, interpolation: Interpolation = "bicubic") -> ClipSpec:
    """Clips so short that each video has some."""
    seconds = probe_video(str(path)).duration_seconds
    clip_seconds = 0.7 if seconds > 2 else 0.3 if seconds > 0.5 else 0.06
    return ClipSpec(
        clip_seconds=clip_seconds,
        frames_per_clip=9,
        size=size,
        crop_share=0.875,
        interpolation=interpolation,
    )


def decode_all(path: Path, spec: ClipSpec) -> list[Clip]:
    seconds = probe_video(str(path)).duration_seconds
    (segment,) = plan_segments(seconds, clip_seconds=spec.clip_seconds, segment_seconds=1e6)
    return list(decode_clips(str(path), segment, spec))


@pytest.mark.parametrize("name", [*VIDEOS, "broken/corrupted.mp4"])
def test_a_segment_alone_is_bit_for_bit_what_one_pass_gives(real_videos: Path, name: str):
    path = real_videos / name
    spec = spec_for(path)
    clips = {clip.index: clip for clip in decode_all(path, spec)}
    rng = random.Random(name)
    for _ in range(6):
        first = rng.randrange(len(clips))
        segment = Segment(index=0, first_clip=first, num_clips=min(rng.randint(1, 3), len(clips) - first))
        alone = list(decode_clips(str(path), segment, spec))
        assert [clip.index for clip in alone] == list(range(first, first + segment.num_clips))
        for clip in alone:
            np.testing.assert_array_equal(clip.frames, clips[clip.index].frames)
            assert clip.num_frames_seen == clips[clip.index].num_frames_seen


def frames_by_ffmpeg(path: Path, spec: ClipSpec) -> tuple[list[Fraction], Fraction, np.ndarray]:
    """Times, half a tick, and planes of all frames, by the ffmpeg command: rotated of its own accord."""
    probe = probe_video(str(path))
    x, y, width, height = crop_box(probe.width, probe.height, crop_share=spec.crop_share)
    scale = f"scale={spec.size}:{spec.size}:flags={spec.interpolation}"
    chain = f"crop={width}:{height}:{x}:{y},{scale},format=yuv420p,showinfo"
    command = [FFMPEG, "-nostdin", "-i", path, "-an", "-vf", chain, "-fps_mode", "passthrough"]
    result = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True)
    log = result.stderr.decode("utf-8", "replace")
    (tick,) = map(Fraction, re.findall(r"config in time_base: (\d+/\d+)", log))
    seconds = [int(ticks) * tick for ticks in re.findall(r"n: *\d+ pts: *(\d+) pts_time", log)]
    planes = np.frombuffer(result.stdout, np.uint8).reshape(len(seconds), spec.yuv_bytes)
    return seconds, tick / 2, planes


@pytest.mark.parametrize(
    ("name", "interpolation"), [*((name, "bicubic") for name in VIDEOS), ("bikes.mp4", "bilinear")]
)
def test_frames_and_pixels_are_those_of_the_ffmpeg_command(
    real_videos: Path, name: str, interpolation: Interpolation
):
    path = real_videos / name
    spec = spec_for(path, interpolation=interpolation)
    seconds, half_tick, planes = frames_by_ffmpeg(path, spec)
    tolerance = min(half_tick, Fraction(1, 1000))
    largest_difference = 2 if "rotated" in name else 0  # the command turns the picture before it scales it
    clips = decode_all(path, spec)
    assert clips
    for clip in clips:
        for index, frame in enumerate(clip.frames):
            slot_seconds = (clip.index + Fraction(index, spec.frames_per_clip)) * exact(spec.clip_seconds)
            shown = max(bisect_right(seconds, slot_seconds + tolerance) - 1, 0)
            difference = np.abs(frame.astype(int) - planes[shown]).max()
            assert difference <= largest_difference, (clip.index, index, shown, difference)


def test_the_frame_after_would_not_pass_for_the_one_chosen(real_videos: Path):
    """The comparison above can fail: in a video that moves, neighbouring frames differ by far more."""
    _, _, planes = frames_by_ffmpeg(real_videos / "bikes.mp4", spec_for(real_videos / "bikes.mp4"))
    assert np.abs(np.diff(planes.astype(int), axis=0)).max(axis=1).min() > 5


def test_the_corrupted_video_ends_with_corrupt_frames_counted(real_videos: Path):
    clips = decode_all(
        real_videos / "broken" / "corrupted.mp4", spec_for(real_videos / "broken" / "corrupted.mp4")
    )
    num_corrupt = [clip.num_corrupt_frames for clip in clips]
    assert num_corrupt[0] == 0
    assert num_corrupt[-1] == clips[-1].num_frames_seen  # once broken, nothing after it is good
