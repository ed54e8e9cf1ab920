"""Videos as they really are: what is odd about each is said by the code that makes it. docs/formats.md lists
them."""

import io
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.decoders import require
from tests.mp4_boxes import SAMPLE_ENTRY, box, change_box
from tests.videos import Video, ffmpeg, read_numbers, write_video
from vbert.errors import VideoError
from vbert.video.decode import Decoder, decode_clips
from vbert.video.frame_grid import Clip, ClipSpec
from vbert.video.media import VideoProbe, plan_segments, probe_video

SPEC = ClipSpec(clip_seconds=1.0, frames_per_clip=5, size=32, crop_share=1.0)
ONE_PASS = 1e9
SHORT = Video(num_frames=50, fps=Fraction(25), gop=12, b_frames=2)  # 2 s
MPEG2 = Video(num_frames=50, codec="mpeg2video", options={"b": "2M"})


def clips_of(path: Path, *, segment_seconds: float = ONE_PASS, decoder: Decoder = "pyav") -> list[Clip]:
    seconds = probe_video(str(path)).duration_seconds
    segments = plan_segments(seconds, clip_seconds=SPEC.clip_seconds, segment_seconds=segment_seconds)
    return [clip for segment in segments for clip in decode_clips(str(path), segment, SPEC, decoder=decoder)]


def numbers_of(path: Path) -> list[int]:
    return [number for clip in clips_of(path) for number in read_numbers(clip, 32)]


def joined(folder: Path, name: str, *parts: Video) -> Path:
    """The files of the parts behind one another, as `cat` joins them."""
    files = [write_video(folder / f"{at}-{name}", part) for at, part in enumerate(parts)]
    path = folder / name
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


TWO_SECONDS = [*range(0, 50, 5)]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("dvr.ts", SHORT),
        ("dvd.vob", MPEG2),
        ("live.mkv", SHORT),
        ("live.webm", Video(codec="libvpx", options={"deadline": "realtime"})),
        ("camera.avi", Video(codec="mpeg4")),
    ],
)
def test_a_clock_that_starts_again_goes_on(tmp_path: Path, name: str, part: Video):
    path = joined(tmp_path, name, part, part)
    probe = probe_video(str(path))
    assert probe.duration_seconds == pytest.approx(4.0)
    assert probe.lost is None
    assert numbers_of(path) == TWO_SECONDS * 2
    for segment_seconds in (1.0, 3.0):
        alone = clips_of(path, segment_seconds=segment_seconds)
        assert [clip.index for clip in alone] == [0, 1, 2, 3]
        for clip, expected in zip(alone, clips_of(path), strict=True):
            np.testing.assert_array_equal(clip.frames, expected.frames)


@pytest.mark.parametrize("later_seconds", [0, 1000])
def test_where_recordings_join_nothing_counts_as_damaged(tmp_path: Path, later_seconds: int):
    """The packets' counters do not fit there, as where packets are missing."""
    second = replace(SHORT, start_seconds=Fraction(later_seconds))
    path = joined(tmp_path, "dvr.ts", SHORT, second)
    assert numbers_of(path) == TWO_SECONDS * 2
    assert [clip.num_corrupt_frames for clip in clips_of(path)] == [0, 0, 0, 0]


def test_what_lies_behind_the_end_of_a_stream_is_said(tmp_path: Path):
    path = joined(tmp_path, "joined.flv", *[Video(codec="flv", num_frames=50)] * 2)
    probe = probe_video(str(path))
    assert probe.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert probe.lost is not None
    assert "behind the end of the stream" in probe.lost


def with_late_packet(source: Path, target: Path, *, number: int, seconds: int) -> Path:
    """The packets of a file, one of which is shown that much later by its timestamp."""
    with av.open(str(source)) as ours, av.open(str(target), "w") as theirs:
        stream = theirs.add_stream_from_template(ours.streams.video[0])
        for at, packet in enumerate(ours.demux(video=0)):
            if packet.size:
                packet.pts += seconds * packet.time_base.denominator if at == number else 0
                packet.stream = stream
                theirs.mux(packet)
    return target


@pytest.mark.parametrize("num_tails", [0, 13, 37])
def test_a_packet_without_data_shows_the_frame_before_it_again(tmp_path: Path, num_tails: int):
    """As Theora has them where nothing moves; here in the middle, for a second, and at the end."""
    moving = Video(num_frames=50, pts=[*range(20), *range(45, 75)], time_base=Fraction(1, 25))
    numbered, path = write_video(tmp_path / "moving.mkv", moving), tmp_path / "still.ogv"
    held = f"fps=25,tpad=stop={num_tails}:stop_mode=clone"
    ffmpeg("-i", numbered, "-vf", held, "-c:v", "libtheora", "-q:v", "10", path)
    with av.open(str(path)) as container:
        assert sum(packet.pts is not None and not packet.size for packet in container.demux(video=0)) > 20
    seconds = (75 + num_tails) / 25
    probe = probe_video(str(path))
    assert (probe.duration_seconds, probe.lost) == (pytest.approx(seconds), None)
    shown = [*range(20), *[19] * 25, *range(20, 50), *[49] * num_tails]
    assert numbers_of(path) == shown[: int(seconds) * 25 : 5]
    assert {clip.num_corrupt_frames for clip in clips_of(path)} == {0}


@pytest.mark.parametrize("late_seconds", [3, 1000])
def test_one_wrong_timestamp_costs_its_own_frame(tmp_path: Path, late_seconds: int):
    source = write_video(tmp_path / "sound.mp4", Video(num_frames=75))
    path = with_late_packet(source, tmp_path / "wrong.ts", number=31, seconds=late_seconds)
    probe = probe_video(str(path))
    assert probe.duration_seconds == pytest.approx(3.0, abs=0.05)
    assert probe.warnings == ("timestamps that the next ones contradict, not followed: 1",)
    assert [clip.num_corrupt_frames for clip in clips_of(path)] == [0, 1, 0]
    assert numbers_of(path) == [*range(0, 75, 5)]


def test_a_stream_that_goes_on_after_its_headers_end_is_decoded_to_its_own(tmp_path: Path):
    path = write_video(tmp_path / "short.mkv", Video(num_frames=100))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"00:00:04.000", b"00:00:01.000"))
    assert probe_video(str(path)).duration_seconds == pytest.approx(4.0)
    assert numbers_of(path) == [*range(0, 100, 5)]


@pytest.mark.parametrize("name", ["long.flv", "long.mkv", "long.mpg", "long.ogv", "long.wmv", "long.ts"])
def test_sound_longer_than_the_picture_loses_nothing(tmp_path: Path, name: str):
    path = tmp_path / name
    picture = ["-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=25"]
    ffmpeg(*picture, "-f", "lavfi", "-i", "sine=d=4:r=44100", path)
    probe = probe_video(str(path))
    assert probe.duration_seconds == pytest.approx(1.0, abs=0.1)
    assert probe.lost is None
    assert len(clips_of(path)) == 1


@pytest.mark.parametrize("name", ["cut.mkv", "cut.flv", "cut.mp4"])
def test_a_file_that_breaks_off_says_so(tmp_path: Path, name: str):
    codec = "flv" if name.endswith("flv") else "libx264"
    front = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write_video(tmp_path / name, Video(num_frames=100, codec=codec, container_options=front))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert probe_video(str(path)).lost is not None


@pytest.mark.parametrize("matrix", range(18))
def test_every_matrix_is_decoded_also_what_the_scaler_refuses(tmp_path: Path, matrix: int):
    plain = write_video(tmp_path / "plain.mp4", SHORT)
    odd = tmp_path / "odd.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata=matrix_coefficients={matrix}", odd)
    clips = clips_of(odd)
    assert [number for clip in clips for number in read_numbers(clip, 32)] == TWO_SECONDS


def test_the_default_stream_is_taken_and_no_thumbnail_before_it(tmp_path: Path):
    film = write_video(tmp_path / "film.mp4", SHORT)
    still = tmp_path / "still.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=white:s=192x128:r=25", "-frames:v", "1", still)
    both = ["-i", still, "-i", film, "-map", "0", "-map", "1", "-c", "copy"]
    for name in ("thumbnail.mp4", "thumbnail.mkv"):
        ffmpeg(*both, tmp_path / name)
        assert numbers_of(tmp_path / name) == TWO_SECONDS
    large = tmp_path / "large.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=white:s=192x128:r=25:d=2", large)
    both[1] = large
    ffmpeg(*both, "-disposition:v:0", "0", "-disposition:v:1", "default", tmp_path / "second.mkv")
    assert numbers_of(tmp_path / "second.mkv") == TWO_SECONDS


OF_ONE_PASS = {
    "open.mpg": Video(num_frames=75, codec="mpeg2video", b_frames=2, options={"b": "2M"}),
    "open.ts": Video(num_frames=75, b_frames=2, options={"x264-params": "open-gop=1"}),
    "refresh.mp4": Video(num_frames=75, options={"x264-params": "intra-refresh=1:keyint=25"}),
    "b_frames.avi": Video(num_frames=75, codec="mpeg4", b_frames=2),
    "one_keyframe.mkv": Video(num_frames=75, gop=999),
    "pieces.mp4": Video(
        num_frames=75, b_frames=2, container_options={"movflags": "frag_keyframe+empty_moov"}
    ),
}


NUMBERED = {"one_keyframe.mkv", "pieces.mp4"}  # where decord and torchcodec find the frames by number


@pytest.mark.parametrize("name", OF_ONE_PASS)
@pytest.mark.parametrize("decoder", ["pyav", "decord", "torchcodec"])
def test_segments_of_any_length_give_the_frames_of_one_pass(tmp_path: Path, name: str, decoder: Decoder):
    require(decoder)
    path = write_video(tmp_path / name, OF_ONE_PASS[name])
    if decoder != "pyav" and name not in NUMBERED:
        with pytest.raises(VideoError, match="use decoder pyav"):
            clips_of(path, decoder=decoder)
        return
    whole = clips_of(path, decoder=decoder)
    assert [clip.index for clip in whole] == [0, 1, 2]
    if decoder != "pyav":
        ours = clips_of(path)
        assert [read_numbers(clip, 32) for clip in whole] == [read_numbers(clip, 32) for clip in ours]
    for segment_seconds in (1.0, 2.0):
        alone = clips_of(path, segment_seconds=segment_seconds, decoder=decoder)
        for clip, expected in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(clip.frames, expected.frames)


@pytest.mark.parametrize("name", ["palette.avi", "palette.mov"])
def test_colours_that_are_numbered_are_there_behind_a_seek(tmp_path: Path, name: str):
    plain, path = write_video(tmp_path / "plain.mkv", Video(num_frames=75)), tmp_path / name
    ffmpeg("-i", plain, "-c:v", "rawvideo", "-pix_fmt", "pal8", path)
    assert [n for clip in clips_of(path, segment_seconds=1.0) for n in read_numbers(clip, 32)] == [
        *range(0, 75, 5)
    ]
    require("torchcodec")
    with pytest.raises(VideoError, match="use decoder pyav"):
        clips_of(path, decoder="torchcodec")


def gap_of(path: Path) -> float:
    probe: VideoProbe = probe_video(str(path))
    return probe.seek_gap_seconds


def test_where_a_seek_helps_is_known(tmp_path: Path):
    assert gap_of(write_video(tmp_path / "often.mp4", Video(num_frames=75))) < 0.6
    assert gap_of(write_video(tmp_path / "once.mp4", Video(num_frames=75, gop=999))) > 2.5
    assert gap_of(write_video(tmp_path / "once.mkv", Video(num_frames=75, gop=999))) > 2.5
    assert gap_of(write_video(tmp_path / "never.ts", Video(num_frames=75))) == float("inf")


def test_a_stream_that_begins_in_the_middle_costs_the_others_nothing(tmp_path: Path):
    """Sound that only the film has, as in recordings of broadcasts: PyAV does not know that stream."""
    first, last = Video(num_frames=200, fps=Fraction(10)), Video(num_frames=50, fps=Fraction(10))
    parts = [
        first,
        replace(last, start_seconds=Fraction(20), audio_seconds=Fraction(5)),
        replace(last, start_seconds=Fraction(25)),
    ]
    files = [write_video(tmp_path / f"{number}.ts", part).read_bytes() for number, part in enumerate(parts)]
    nothing = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 30_000  # more than FFmpeg reads when it opens a file
    path = tmp_path / "recording.ts"
    path.write_bytes(nothing.join(files))
    with av.open(str(path)) as container, pytest.raises(IndexError):
        list(container.demux())  # else this test shows nothing
    probe = probe_video(str(path))
    assert probe.duration_seconds == pytest.approx(30.0, abs=0.2)
    assert len(clips_of(path)) == 30


def test_a_clean_aperture_is_what_is_shown(tmp_path: Path):
    """The right 64 x 64 pixels of 128 x 64: H.264 in QuickTime and mp4 says so (14496-12, 12.1.4)."""
    path = write_video(tmp_path / "clap.mp4", replace(SHORT, width=128, height=64))
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray()[:64] for frame in container.decode(video=0)]  # luma
    aperture = struct.pack(">8I", 64, 1, 64, 1, 32, 1, 0, 1)  # width, height, and the centre's offsets
    change_box(path, (*SAMPLE_ENTRY, b"avc1"), lambda name, body: (name, body + box(b"clap", aperture)))
    assert (probe_video(str(path)).width, probe_video(str(path)).height) == (64, 64)
    for clip in clips_of(path):
        luma = clip.frames[:, : 32 * 32].reshape(-1, 32, 32).astype(float)
        for at, picture in enumerate(luma):
            expected = whole[25 * clip.index + 5 * at][:, 64:].reshape(32, 2, 32, 2).mean((1, 3))
            assert np.abs(picture - expected).mean() < 6


def test_an_edit_list_of_no_length_means_to_the_end(tmp_path: Path):
    path = write_video(tmp_path / "elst.mp4", SHORT)
    expected = numbers_of(path)

    def emptied(name: bytes, body: bytes) -> tuple[bytes, bytes]:
        version, count = struct.unpack_from(">II", body)
        assert (version >> 24, count) == (0, 1)
        return name, body[:8] + struct.pack(">I", 0) + body[12:]  # segment_duration

    change_box(path, (b"moov", b"trak", b"edts", b"elst"), emptied)
    assert numbers_of(path) == expected == TWO_SECONDS


def test_an_encrypted_video_says_so(tmp_path: Path):
    """As Common Encryption marks it (14496-12, 8.12): the sample entry's name hides what it was."""
    path = write_video(tmp_path / "drm.mp4", SHORT)
    key = box(b"tenc", bytes(6) + bytes([1, 8]) + bytes(16))  # encrypted, 8 bytes of initialization a sample
    was = box(b"frma", b"avc1") + box(b"schm", bytes(4) + b"cenc" + bytes([0, 1, 0, 0])) + box(b"schi", key)
    change_box(path, (*SAMPLE_ENTRY, b"avc1"), lambda _, body: (b"encv", body + box(b"sinf", was)))
    with pytest.raises(VideoError, match="encrypted"):
        probe_video(str(path))


def test_a_rotation_in_a_pictures_own_header_is_applied(tmp_path: Path):
    """Cameras that write Motion JPEG keep it in each picture, as Exif does for photographs."""
    exif = Image.Exif()
    exif[274] = 6  # Orientation: turn clockwise by a quarter
    path = tmp_path / "camera.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuvj420p"
        for number in range(20):
            picture = np.zeros((32, 64, 3), np.uint8)
            picture[:, :32] = 250  # its left is its top when it is turned
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", exif=exif, quality=90)
            packet = av.Packet(file.getvalue())
            packet.stream, packet.time_base, packet.pts = stream, Fraction(1, 10), number
            packet.is_keyframe = True
            container.mux(packet)
    probe = probe_video(str(path))
    assert (probe.width, probe.height) == (32, 64)
    (first, *_) = clips_of(path)
    luma = first.frames[0, : 32 * 32].reshape(32, 32)
    assert luma[:14].mean() > 200 > 50 > luma[18:].mean()
