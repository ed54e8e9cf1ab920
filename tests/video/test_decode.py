import gc
import io
import shutil
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import numpy as np
import pytest
from fsspec.spec import AbstractFileSystem

from tests.videos import Video, ffmpeg, read_numbers, write_video
from vbert.errors import UserError, VideoError
from vbert.video.decode import Decoder, decode_clips
from vbert.video.frame_grid import ClipSpec
from vbert.video.media import Segment, plan_segments, probe_video

SPEC = ClipSpec(clip_seconds=0.5, frames_per_clip=7, size=33, crop_share=1.0)
FIRST = Segment(index=0, first_clip=0, num_clips=1)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("decode") / "video.mp4", Video(b_frames=2))


def open_files() -> list[str]:
    links = list(Path("/proc/self/fd").iterdir())  # the listing's own is gone again
    return [str(link.readlink()) for link in links if link.is_symlink()]


@pytest.mark.parametrize(
    "name", ["a b.mp4", 'it\'s "it".mp4', "日本.mp4", "100%03d%20.mp4", "-f.mp4", "a:b.mp4"]
)
def test_a_file_may_have_any_name(video: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(video, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for uri in (name, f"file://{quote(str(tmp_path / name))}"):
        (clip,) = decode_clips(uri, FIRST, SPEC)
        assert read_numbers(clip, 33) == [0, 1, 3, 5, 7, 8, 10]


def test_a_remote_video_decodes_as_a_local_one(video: Path):
    with fsspec.open("memory://decode/video.mp4", "wb") as file:
        file.write(video.read_bytes())
    segment = Segment(index=0, first_clip=1, num_clips=2)
    remote = decode_clips("memory://decode/video.mp4", segment, SPEC)
    local = decode_clips(str(video), segment, SPEC)
    for ours, theirs in zip(remote, local, strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)


class CountedFile(io.FileIO):
    """A file that counts the bytes that are read from it."""

    num_bytes_read = 0

    def readinto(self, buffer: Any) -> int | None:
        num_bytes = super().readinto(buffer)
        CountedFile.num_bytes_read += num_bytes or 0
        return num_bytes

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        CountedFile.num_bytes_read += len(content)
        return content


class CountedFileSystem(AbstractFileSystem):
    """Local files under counted://."""

    protocol = "counted"

    def _open(self, path: str, mode: str = "rb", **_: Any) -> CountedFile:
        return CountedFile("/" + self._strip_protocol(path).lstrip("/"), "r")


@pytest.mark.parametrize("movflags", ["faststart", "disable_chpl"], ids=["index_first", "index_last"])
def test_a_segment_in_the_middle_of_a_remote_video_reads_little_of_it(tmp_path: Path, movflags: str):
    fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
    long = Video(
        num_frames=1000,
        width=320,
        height=240,
        codec="mjpeg",
        pix_fmt="yuvj420p",
        color_range=2,
        container_options={"movflags": movflags},
    )
    path = write_video(tmp_path / "long.mov", long)
    CountedFile.num_bytes_read = 0
    (clip,) = decode_clips(f"counted://{path}", Segment(index=0, first_clip=40, num_clips=1), SPEC)
    assert read_numbers(clip, 33) == [500, 501, 503, 505, 507, 508, 510]
    assert 0 < CountedFile.num_bytes_read < path.stat().st_size / 5


def test_a_file_that_is_gone_is_a_video_error(tmp_path: Path):
    with pytest.raises(VideoError, match=r"^decode: No such file or directory$"):
        list(decode_clips(str(tmp_path / "gone.mp4"), FIRST, SPEC))
    with pytest.raises(VideoError, match=r"^decode: "):
        list(decode_clips("memory://gone.mp4", FIRST, SPEC))


def test_a_file_without_video_is_a_video_error(tmp_path: Path):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "song.wav")
    with pytest.raises(VideoError, match=r"^decode: no video stream$"):
        list(decode_clips(str(tmp_path / "song.wav"), FIRST, SPEC))


def test_nothing_stays_open_after_the_last_clip_nor_when_the_rest_is_not_wanted(video: Path):
    segment = Segment(index=0, first_clip=0, num_clips=4)
    list(decode_clips(str(video), segment, SPEC))
    assert str(video) not in open_files()
    clips = decode_clips(str(video), segment, SPEC)
    assert str(video) not in open_files()
    next(clips)
    assert str(video) in open_files()
    del clips
    assert str(video) not in open_files()


def test_nothing_stays_open_after_an_error(video: Path, tmp_path: Path):
    path = shutil.copy(video, tmp_path / "short.mp4")
    with pytest.raises(VideoError, match="before clip 9 does"):
        list(decode_clips(str(path), Segment(index=0, first_clip=9, num_clips=1), SPEC))
    assert str(path) not in open_files()


@pytest.mark.slow
def test_a_thousand_videos_in_one_process_leave_no_files_nor_threads(video: Path):
    def resources() -> tuple[Counter[str], int]:
        return Counter(open_files()), len(list(Path("/proc/self/task").iterdir()))

    gc.disable()  # nothing may hang on the collector
    try:
        for _ in range(1000):
            probe_video(str(video))
            next(decode_clips(str(video), Segment(index=0, first_clip=1, num_clips=1), SPEC))
            if _ == 0:
                before = resources()
    finally:
        gc.enable()
    files, threads = resources()
    assert not files - before[0], "none is open that was not, though those of others may have gone meanwhile"
    assert threads <= before[1], "others' may have ended meanwhile"


MEASURE = """
import resource, sys
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import ClipSpec
from vbert.video.media import Segment
spec = ClipSpec(clip_seconds=1.5, frames_per_clip=3, size=64, crop_share=1.0)
everything = Segment(index=0, first_clip=0, num_clips=10**6)
num_clips = sum(1 for clip in decode_clips(sys.argv[1], everything, spec))
print(num_clips, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path: Path):
    # In one segment, which is the worst that a user can ask for.
    minute = write_video(
        tmp_path / "minute.mp4", Video(num_frames=600, fps=Fraction(10), width=160, height=120)
    )
    ffmpeg("-stream_loop", "59", "-i", minute, "-c", "copy", tmp_path / "hour.mp4")

    def measure(path: Path) -> tuple[int, int]:
        result = subprocess.run(
            [sys.executable, "-c", MEASURE, path], check=True, capture_output=True, text=True
        )
        num_clips, megabytes = map(int, result.stdout.split())
        return num_clips, megabytes

    (clips_a_minute, minute_megabytes), (clips_an_hour, hour_megabytes) = (
        measure(minute),
        measure(tmp_path / "hour.mp4"),
    )
    assert (clips_a_minute, clips_an_hour) == (40, 2400)
    assert hour_megabytes < minute_megabytes + 100


def test_planned_segments_together_give_the_clips_of_one_pass(video: Path):
    seconds = probe_video(str(video)).duration_seconds
    (everything,) = plan_segments(seconds, clip_seconds=0.5, segment_seconds=1000.0)
    parts = plan_segments(seconds, clip_seconds=0.5, segment_seconds=1.0)
    assert [part.num_clips for part in parts] == [2, 2]
    together = [clip for part in parts for clip in decode_clips(str(video), part, SPEC)]
    for part, whole in zip(together, decode_clips(str(video), everything, SPEC), strict=True):
        assert part.index == whole.index
        np.testing.assert_array_equal(part.frames, whole.frames)


def test_other_decoders_are_imported_only_when_chosen():
    script = "import sys, vbert.video.decode; print({'decord', 'torchcodec', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_a_decoder_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, decoder: Decoder
):
    monkeypatch.setitem(sys.modules, decoder, None)
    with pytest.raises(
        UserError, match=rf"^decoder {decoder} is not installed; run: pip install 'vbert\[{decoder}\]'$"
    ):
        decode_clips("video.mp4", FIRST, SPEC, decoder=decoder)


@pytest.mark.parametrize("content", ["ffmpeg_major_version = None", "raise RuntimeError('no libtorchcodec')"])
def test_torchcodec_without_ffmpeg_s_libraries_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
):
    (tmp_path / "torchcodec.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchcodec", raising=False)
    with pytest.raises(UserError, match=r"^decoder torchcodec does not find FFmpeg's shared libraries"):
        decode_clips("video.mp4", FIRST, SPEC, decoder="torchcodec")
    sys.modules.pop("torchcodec", None)


def test_only_pyav_can_skip_the_loop_filter():
    with pytest.raises(
        UserError, match=r"^skip_loop_filter works with decoder pyav only, got decoder decord$"
    ):
        decode_clips("video.mp4", FIRST, SPEC, decoder="decord", skip_loop_filter=True)


def test_decord_is_refused_for_remote_videos():
    with pytest.raises(UserError, match=r"^s3://bucket/video.mp4: decord reads local files only"):
        decode_clips("s3://bucket/video.mp4", FIRST, SPEC, decoder="decord")
