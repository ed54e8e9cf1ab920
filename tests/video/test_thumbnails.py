import io
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


def ffmpeg_frame(path: Path, number: int, *, width: int) -> np.ndarray:
    """A frame by its number, as the ffmpeg program decodes it."""
    import subprocess

    from imageio_ffmpeg import get_ffmpeg_exe

    command = [
        *(
            get_ffmpeg_exe(),
            "-v",
            "error",
            "-i",
            str(path),
            "-vf",
            f"select=eq(n\\,{number}),scale={width}:-2",
        ),
        *("-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"),
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.asarray(Image.open(io.BytesIO(done.stdout)).convert("RGB"))


def test_the_frame_is_the_one_that_ffmpeg_shows_then(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_video(path, Video(num_frames=60, fps=Fraction(10)))
    times = [0.0, 2.55, 4.0, 5.9]  # frame 25 is shown from 2.5 s to 2.6 s
    found = thumbnails(str(path), times, width=96)
    for jpeg, number in zip(found, [0, 25, 40, 59], strict=True):
        expected = ffmpeg_frame(path, number, width=96).astype(float)
        mine = picture(jpeg).astype(float)
        assert mine.shape[1] == 96
        assert abs(mine.shape[0] - expected.shape[0]) <= 1
        height = min(mine.shape[0], expected.shape[0])
        assert np.abs(mine[:height] - expected[:height]).mean() < 12  # JPEG, and another scaler
    assert np.abs(picture(found[0]).astype(float) - picture(found[2])).mean() > 12  # they are not all alike


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
    for jpeg, number in zip(found, [5, 9, 9, 15], strict=True):
        expected = ffmpeg_frame(moving, number, width=96).astype(float)
        assert np.abs(picture(jpeg).astype(float) - expected).mean() < 6  # a number more is 12


def test_a_file_that_is_no_video_says_why(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError):
        thumbnails(str(tmp_path / "a.mp4"), [0.0], width=64)
    with pytest.raises(VideoError):
        thumbnails(str(tmp_path / "gone.mp4"), [0.0], width=64)


def test_a_data_url_is_the_picture_itself():
    assert data_url(b"\xff\xd8abc") == "data:image/jpeg;base64,/9hhYmM="
