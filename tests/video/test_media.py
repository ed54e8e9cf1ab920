import os
import shutil
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import fsspec
import pytest

from tests.videos import Video, ffmpeg, write_video
from vbert.corpus.sources import VIDEO_EXTENSIONS, list_corpus
from vbert.errors import UserError, VideoError
from vbert.video.frame_times import read_frame_times
from vbert.video.media import Segment, plan_segments, probe_video
from vbert.video.opening import open_video, pixel_aspect, presentation_start, select_video_stream


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("media") / "video.mp4", Video(b_frames=2))


def test_the_header_is_read(video: Path):
    probe = probe_video(str(video))
    assert (probe.width, probe.height, probe.fps, probe.duration_seconds) == (96, 64, 25.0, 2.0)
    assert (probe.codec, probe.pixel_format, probe.rotation, probe.warnings) == ("h264", "yuv420p", 0, ())


@pytest.mark.parametrize(
    "name",
    ["a b.mp4", 'it\'s "it".mp4', "Füße 日本.mp4", "100%03d%20.mp4", "-f.mp4", "a:b.mp4", "a#b?c=d.mp4", "x"],
)
def test_a_file_may_have_any_name(video: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(video, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for uri in (name, str(tmp_path / name), f"file://{quote(str(tmp_path / name))}"):
        assert probe_video(uri).duration_seconds == 2.0


def test_a_name_that_is_not_utf_8_is_listed_and_opened(video: Path, tmp_path: Path):
    (tmp_path / "films").mkdir()
    shutil.copy(video, os.fsencode(tmp_path / "films") + b"/caf\xe9 %41.mp4")
    (uri,) = list_corpus(str(tmp_path / "films"))["uri"].to_pylist()
    assert uri.endswith("/caf%E9%20%2541.mp4")
    assert probe_video(uri).duration_seconds == 2.0


def test_a_video_may_lie_on_any_filesystem_that_fsspec_knows(video: Path):
    with fsspec.open("memory://films/video.mp4", "wb") as file:
        file.write(video.read_bytes())
    assert probe_video("memory://films/video.mp4") == probe_video(str(video))


def test_a_protocol_that_fsspec_does_not_know_is_the_user_s_error():
    with pytest.raises(UserError, match=r"^nosuch://video\.mp4: .* \(Protocol not known: nosuch\)"):
        probe_video("nosuch://video.mp4")


@pytest.fixture
def web_server() -> Iterator[tuple[str, list[str]]]:
    """The URL of a local web server, and the paths that it has been asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_playlist_cannot_make_us_fetch_a_url(tmp_path: Path, web_server: tuple[str, list[str]], where: str):
    url, asked = web_server
    playlist = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:5,\n{url}/secret.ts\n#EXT-X-ENDLIST\n"
    uri = str(tmp_path / "playlist.m3u8") if where == "local" else "memory://playlist.m3u8"
    with fsspec.open(uri, "w") as file:
        file.write(playlist)
    with pytest.raises(VideoError, match=r"^probe: "):
        probe_video(uri)
    assert asked == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "empty file"),
        (b"not a video at all\n" * 100, "Invalid data found"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "Invalid data found"),
    ],
)
def test_what_is_not_a_video_is_a_video_error_with_ffmpeg_s_reason(
    tmp_path: Path, content: bytes | None, reason: str
):
    path = tmp_path / "no.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=f"^probe: {reason}"):
        probe_video(str(path))


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"^probe: a pipe, a socket or a device, not a file$"):
        probe_video(str(tmp_path / "a.mp4"))


def test_a_codec_that_ffmpeg_does_not_know_is_a_video_error(video: Path, tmp_path: Path):
    path = tmp_path / "unknown.mp4"
    path.write_bytes(video.read_bytes().replace(b"avc1", b"zzz9"))
    with pytest.raises(VideoError, match="probe: no decoder for the video stream"):
        probe_video(str(path))


CODECS = {
    **dict.fromkeys(("mp4", "m4v", "mkv", "mov", "ts", "mts", "m2ts", "flv", "f4v", "3gp", "3g2"), "libx264"),
    **dict.fromkeys(("mpg", "mpeg", "vob", "mxf"), "mpeg2video"),
    **dict.fromkeys(("avi", "divx"), "mpeg4"),
    **dict.fromkeys(("wmv", "asf"), "wmv2"),
    **dict.fromkeys(("webm", "ogv", "ogm"), "libvpx"),
}


def test_every_kind_of_video_is_opened(tmp_path: Path):
    """Those that FFmpeg may open are a list of ours."""
    assert set(CODECS) == VIDEO_EXTENSIONS
    for extension, codec in CODECS.items():
        path = tmp_path / f"a.{extension}"
        muxer = {"divx": "avi", "ogm": "ogg", "m2ts": "mpegts", "mts": "mpegts", "f4v": "mp4"}.get(extension)
        source = ("-f", "lavfi", "-i", "testsrc=size=176x144:rate=25:duration=1")
        ffmpeg(*source, "-pix_fmt", "yuv420p", "-c:v", codec, *(("-f", muxer) if muxer else ()), path)
        assert probe_video(str(path)).width == 176, extension


@pytest.fixture(scope="module")
def cover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cover") / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32", "-frames:v", "1", path)
    return path


SONG = ("-f", "lavfi", "-i", "sine=duration=1")


def test_sound_with_a_cover_picture_is_not_a_video(cover: Path, tmp_path: Path):
    path = tmp_path / "song.m4a"
    ffmpeg(
        *SONG, "-i", cover, "-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic", path
    )
    with pytest.raises(VideoError, match="probe: no video stream"):
        probe_video(str(path))


def test_a_cover_picture_before_the_video_is_not_taken_for_it(cover: Path, video: Path, tmp_path: Path):
    path = tmp_path / "covered.mp4"
    maps = ("-map", "0", "-map", "1", "-c", "copy", "-c:v:0", "mjpeg", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", cover, "-i", video, *maps, path)
    with open_video(str(path)) as container:
        assert len(container.streams.video) == 2
        assert select_video_stream(container, stage="probe").codec_context.name == "h264"
    assert probe_video(str(path)).codec == "h264"


def test_sound_alone_is_not_a_video(tmp_path: Path):
    ffmpeg(*SONG, tmp_path / "song.wav")
    with pytest.raises(VideoError, match="probe: no video stream"):
        probe_video(str(tmp_path / "song.wav"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_duration_is_the_video_s_not_the_longer_sound_s(tmp_path: Path, suffix: str):
    path = write_video(tmp_path / f"long_sound{suffix}", Video(num_frames=30, audio_seconds=Fraction(5)))
    assert probe_video(str(path)).duration_seconds == pytest.approx(1.2, abs=0.002)


def test_a_video_that_starts_after_its_sound_ends_that_much_later(tmp_path: Path):
    late = Video(num_frames=30, start_seconds=Fraction(4, 5), audio_seconds=Fraction(5))
    path = write_video(tmp_path / "late.mp4", late)
    assert probe_video(str(path)).duration_seconds == pytest.approx(2.0, abs=0.002)
    with open_video(str(path)) as container:
        assert presentation_start(container) == 0


def test_the_presentation_starts_exactly_where_its_first_stream_does(tmp_path: Path):
    # 1/90000 s is no whole number of microseconds, in which a container's start is given.
    path = write_video(tmp_path / "later.ts", Video(start_seconds=Fraction(10, 3), fps=Fraction(30)))
    with open_video(str(path)) as container:
        stream = container.streams.video[0]
        assert presentation_start(container) == stream.start_time * stream.time_base
        assert presentation_start(container).denominator > 1


def test_without_a_stream_s_duration_the_container_s_is_taken(tmp_path: Path):
    # bitexact: the muxer leaves out the DURATION tag of each stream.
    bare = Video(num_frames=30, container_options={"fflags": "+bitexact"})
    probe = probe_video(str(write_video(tmp_path / "tagless.mkv", bare)))
    assert probe.duration_seconds == pytest.approx(1.2, abs=0.002)
    assert probe.warnings == ()


def test_without_any_duration_it_comes_from_the_packets_with_a_warning(tmp_path: Path):
    live = Video(num_frames=30, container_options={"live": "1", "fflags": "+bitexact"})
    probe = probe_video(str(write_video(tmp_path / "live.mkv", live)))
    assert probe.duration_seconds == pytest.approx(1.2, abs=0.002)
    assert probe.warnings == ("no duration in the header: taken from the packets",)


def test_a_bare_stream_is_timed_by_its_frame_rate_with_a_warning(tmp_path: Path):
    probe = probe_video(str(write_video(tmp_path / "bare.h264", Video(fps=Fraction(20), b_frames=2))))
    assert (probe.fps, probe.duration_seconds) == (20.0, 2.5)
    assert "no timestamps: frames are timed by the average rate" in probe.warnings


def test_avi_has_a_warning_that_it_holds_no_presentation_times(tmp_path: Path):
    probe = probe_video(str(write_video(tmp_path / "old.avi", Video(codec="mpeg4", b_frames=1))))
    assert probe.warnings == ("no presentation timestamps: frames are timed by their decoding",)
    assert probe.duration_seconds == 2.0


@pytest.mark.parametrize(("degrees", "size"), [(90, (64, 96)), (180, (96, 64)), (270, (64, 96))])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_width_and_height_are_those_of_the_picture_as_shown(
    tmp_path: Path, suffix: str, degrees: int, size: tuple[int, int]
):
    probe = probe_video(str(write_video(tmp_path / f"turned{suffix}", Video(rotation=degrees))))
    assert (probe.rotation, (probe.width, probe.height)) == (degrees, size)


def test_pixels_that_are_not_square_widen_the_picture(tmp_path: Path):
    probe = probe_video(str(write_video(tmp_path / "wide.mp4", Video(pixel_aspect=Fraction(4, 3)))))
    assert (probe.width, probe.height) == (128, 64)


@pytest.mark.parametrize("aspect", [Fraction(65535), Fraction(1, 65535), Fraction(-1)])
def test_pixels_a_thousand_times_as_wide_as_high_are_taken_for_square_ones(aspect: Fraction):
    stream: Any = SimpleNamespace(sample_aspect_ratio=aspect)
    assert pixel_aspect(stream) == 1


def test_a_title_that_is_not_utf_8_does_no_harm(video: Path, tmp_path: Path):
    path = tmp_path / "title.mkv"
    ffmpeg("-i", video, "-c", "copy", "-metadata", "title=TITLE", path)
    path.write_bytes(
        path.read_bytes()
        .replace(b"TITLE\x45", b"\xff\xfe\xfd\xfc\xfb\x45")
        .replace(b"\x85TITLE", b"\x85\xff\xfe\xfd\xfc\xfb")
    )
    assert b"\xff\xfe\xfd" in path.read_bytes()
    assert probe_video(str(path)).codec == "h264"


def test_frame_times_are_in_the_order_of_display_without_what_an_edit_list_hides(video: Path, tmp_path: Path):
    assert read_frame_times(str(video)).ticks == [n * 512 for n in range(50)]
    path = tmp_path / "cut.mp4"
    ffmpeg(
        "-ss", "0.8", "-i", video, "-c", "copy", path
    )  # from frame 12 on in the file, 20 on in the edit list
    times = read_frame_times(str(path))
    assert (len(times.ticks), times.ticks[0]) == (30, 0)


def test_frame_times_of_what_is_gone_are_a_video_error(tmp_path: Path):
    with pytest.raises(VideoError, match="decode: No such file or directory"):
        read_frame_times(str(tmp_path / "gone.mp4"))


def test_a_minute_of_one_and_a_half_second_clips_is_forty_clips_a_segment():
    assert plan_segments(151.0, clip_seconds=1.5, segment_seconds=60.0) == [
        Segment(index=0, first_clip=0, num_clips=40),
        Segment(index=1, first_clip=40, num_clips=40),
        Segment(index=2, first_clip=80, num_clips=20),  # 151 / 1.5 = 100.7
    ]


@pytest.mark.parametrize(
    ("duration", "clip", "segment", "clips_a_segment"),
    [
        (0.4, 1.5, 60.0, [1]),  # a short video is one clip
        (2.9, 1.5, 60.0, [1]),  # the rest of a clip is none
        (2.995, 1.5, 60.0, [2]),  # rounded by its container
        (3.0, 1.5, 0.2, [1, 1]),  # a segment is at least a clip
        (0.7, 0.1, 0.3, [3, 3, 1]),  # 0.7 // 0.1 is 6 in floats
        (1.0, 1.0, 60.0, [1]),
    ],
)
def test_segments_are_whole_clips(duration: float, clip: float, segment: float, clips_a_segment: list[int]):
    planned = plan_segments(duration, clip_seconds=clip, segment_seconds=segment)
    assert [part.num_clips for part in planned] == clips_a_segment
    assert [part.index for part in planned] == list(range(len(planned)))
    assert [part.first_clip for part in planned] == [sum(clips_a_segment[:n]) for n in range(len(planned))]
