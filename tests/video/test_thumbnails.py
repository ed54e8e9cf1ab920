import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.videos import Video, ffmpeg, write_video
from vbert.errors import VideoError
from vbert.video.thumbnails import data_url, thumbnails


def picture(jpeg: bytes | None) -> np.ndarray:
    assert jpeg is not None
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def frames_of(path: Path) -> np.ndarray:
    """All that the ffmpeg program decodes of a video of the usual size, [num_frames, 64, 96, 3]."""
    raw = ffmpeg("-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, 64, 96, 3).astype(float)


# How each is made of a plain video.
FORMATS = {
    "plain.mp4": ["-c", "copy"],
    "broadcast.ts": ["-c", "copy"],
    "one_keyframe.mkv": ["-c:v", "libx264", "-g", "999"],
    "palette.avi": ["-c:v", "rawvideo", "-pix_fmt", "pal8"],
    "matrix.mp4": ["-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=8"],
}


@pytest.mark.parametrize("pass_seconds", [1.0, 120.0])
@pytest.mark.parametrize("name", FORMATS)
def test_the_frame_is_the_one_that_ffmpeg_shows_then(
    tmp_path: Path, name: str, pass_seconds: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vbert.video.thumbnails.PASS_SECONDS", pass_seconds)
    plain, path = write_video(tmp_path / "a.mp4", Video(num_frames=60, fps=Fraction(10))), tmp_path / name
    ffmpeg("-i", plain, *FORMATS[name], path)
    frames = frames_of(plain)
    times = [5.9, 0.0, 2.55, 4.0]  # frame 25 is shown from 2.5 s to 2.6 s
    for jpeg, number in zip(thumbnails(str(path), times, width=96), [59, 0, 25, 40], strict=True):
        off = np.abs(frames - picture(jpeg)).mean((1, 2, 3))
        assert off.argmin() == number
        assert off[number] < (15 if "palette" in name else 6)  # JPEG; ffmpeg dithers where colours are few


def test_pixels_that_are_not_square_are_shown_square_and_turned(tmp_path: Path):
    video = Video(width=64, height=64, pixel_aspect=Fraction(2))
    (wide,) = thumbnails(str(write_video(tmp_path / "wide.mp4", video)), [0.5], width=96)
    (tall,) = thumbnails(
        str(write_video(tmp_path / "tall.mp4", replace(video, rotation=90))), [0.5], width=96
    )
    assert (picture(wide).shape, picture(tall).shape) == ((48, 96, 3), (192, 96, 3))


def test_after_the_end_the_last_frame_is_shown(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_video(path, Video(num_frames=20, fps=Fraction(10)))
    (late,) = thumbnails(str(path), [30.0], width=64)
    assert late is not None


def test_a_frame_that_is_shown_again_by_a_packet_without_data_is_there(tmp_path: Path):
    moving = write_video(
        tmp_path / "a.mkv", Video(num_frames=20, fps=Fraction(10), pts=[*range(10), *range(30, 40)])
    )
    ffmpeg("-i", moving, "-vf", "fps=10", "-c:v", "libtheora", "-q:v", "10", tmp_path / "still.ogv")
    found = thumbnails(str(tmp_path / "still.ogv"), [0.5, 1.5, 2.5, 3.5], width=96)
    frames = frames_of(moving)
    for jpeg, number in zip(found, [5, 9, 9, 15], strict=True):
        assert np.abs(picture(jpeg) - frames[number]).mean() < 6  # a number more is 12


def test_a_file_that_is_no_video_says_why(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError):
        thumbnails(str(tmp_path / "a.mp4"), [0.0], width=64)
    with pytest.raises(VideoError):
        thumbnails(str(tmp_path / "gone.mp4"), [0.0], width=64)


def test_a_data_url_is_the_picture_itself():
    assert data_url(b"\xff\xd8abc") == "data:image/jpeg;base64,/9hhYmM="
