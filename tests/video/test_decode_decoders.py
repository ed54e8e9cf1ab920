"""decord and torchcodec against PyAV: the same frames, the same part of the picture, nearly its pixels.

nvdec is torchcodec, and crops and scales by torch: here on a CPU.
"""

from fractions import Fraction
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.decoders import require
from tests.videos import Video, break_packets, read_numbers, write_video
from vbert.errors import UserError, VideoError
from vbert.video import decode_torchcodec
from vbert.video.decode import Decoder, decode_clips
from vbert.video.frame_grid import Clip, ClipSpec, Color
from vbert.video.media import Segment, plan_segments, probe_video

SPEC = ClipSpec(clip_seconds=0.5, frames_per_clip=7, size=33, crop_share=1.0)
ALL = Segment(index=0, first_clip=0, num_clips=99)

# Mean difference of a frame's RGB values, of 255: PyAV scales bicubic in YCbCr, torchcodec bilinear in RGB.
LARGEST_DIFFERENCE = {"decord": 7.0, "torchcodec": 8.0, "nvdec": 8.0}


@pytest.fixture(params=["decord", "torchcodec", "nvdec"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    monkeypatch.setattr(decode_torchcodec, "nvdec_device", lambda: "cpu")
    return require(request.param)


VIDEOS = {
    "plain.mp4": Video(),
    "30_fps.mkv": Video(fps=Fraction(30), b_frames=2),
    "variable.mp4": Video(
        num_frames=8, pts=[0, 10, 400, 410, 1100, 1490, 1500, 2100], time_base=Fraction(1, 1000), b_frames=1
    ),
    "late.mp4": Video(start_seconds=Fraction(4, 5), audio_seconds=Fraction(3)),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_all_decoders_choose_the_same_frames(tmp_path: Path, decoder: Decoder, name: str):
    path = str(write_video(tmp_path / name, VIDEOS[name]))
    expected = list(decode_clips(path, ALL, SPEC))
    clips = list(decode_clips(path, ALL, SPEC, decoder=decoder))
    assert [clip.index for clip in clips] == [clip.index for clip in expected]
    assert [read_numbers(clip, 33) for clip in clips] == [read_numbers(clip, 33) for clip in expected]
    assert [clip.num_frames_seen for clip in clips] == [clip.num_frames_seen for clip in expected]
    assert clips[0].color == Color(matrix="rgb", full_range=True)
    assert clips[0].frames.shape == (7, 33, 33, 3)
    assert clips[0].frames.dtype == np.uint8


def test_of_a_few_pixels_decord_makes_no_picture_and_says_so(tmp_path: Path):
    path = str(write_video(tmp_path / "tiny.mp4", Video(width=16, height=16)))
    with pytest.raises(VideoError, match="decord gives frames of 6 colours; use decoder pyav"):
        list(decode_clips(path, ALL, SPEC, decoder=require("decord")))


def test_all_decoders_begin_in_the_middle(tmp_path: Path, decoder: Decoder):
    path = str(write_video(tmp_path / "plain.mp4", Video(b_frames=2)))
    (clip,) = decode_clips(path, Segment(index=1, first_clip=2, num_clips=1), SPEC, decoder=decoder)
    assert (clip.index, read_numbers(clip, 33)) == (2, [25, 26, 28, 30, 32, 33, 35])


def test_all_decoders_squeeze_pixels_that_are_not_square(tmp_path: Path, decoder: Decoder):
    video = Video(width=128, height=96, pixel_aspect=Fraction(3, 4))
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=3, size=96, crop_share=1.0)
    path = str(write_video(tmp_path / "narrow.mp4", video))
    (clip,) = decode_clips(path, Segment(index=0, first_clip=1, num_clips=1), spec, decoder=decoder)
    (expected,) = decode_clips(path, Segment(index=0, first_clip=1, num_clips=1), spec)
    assert np.abs(rgb_of(expected, 96) - clip.frames).mean() < LARGEST_DIFFERENCE[decoder]


def test_no_decoder_passes_damage_off_as_good(tmp_path: Path, decoder: Decoder):
    path = write_video(tmp_path / "broken.mp4", Video(options={"crf": "1"}))
    break_packets(path, [18])
    with pytest.raises(VideoError, match=r"^decode: "):
        list(decode_clips(str(path), ALL, SPEC, decoder=decoder))


def test_a_video_that_ends_before_the_segment_is_a_video_error(tmp_path: Path, decoder: Decoder):
    path = str(write_video(tmp_path / "short.mp4", Video()))
    with pytest.raises(VideoError, match=r"^decode: the stream ends at 2\.000 s, before clip 7 does$"):
        list(decode_clips(path, Segment(index=0, first_clip=7, num_clips=1), SPEC, decoder=decoder))


def test_what_is_not_a_video_is_a_video_error(tmp_path: Path, decoder: Decoder):
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"^decode: Invalid data found"):
        list(decode_clips(str(tmp_path / "no.mp4"), ALL, SPEC, decoder=decoder))


def test_torchcodec_reads_remote_videos(tmp_path: Path):
    require("torchcodec")
    path = write_video(tmp_path / "plain.mp4", Video())
    with fsspec.open("memory://decoders/plain.mp4", "wb") as file:
        file.write(path.read_bytes())
    clip = next(decode_clips("memory://decoders/plain.mp4", ALL, SPEC, decoder="torchcodec"))
    assert read_numbers(clip, 33) == [0, 1, 3, 5, 7, 8, 10]


def test_nvdec_wants_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    require("nvdec")
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    clips = decode_clips(str(tmp_path / "a.mp4"), ALL, SPEC, decoder="nvdec")
    with pytest.raises(UserError, match=r"^decoder nvdec: torch sees no GPU here; use decoder pyav$"):
        next(clips)


def test_torch_crops_and_scales_as_torchvision_does():
    torch = pytest.importorskip("torch")
    v2 = pytest.importorskip("torchvision.transforms.v2")
    frame = torch.randint(0, 256, (41, 60, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    theirs = v2.Compose([v2.CenterCrop((37, 50)), v2.Resize((17, 17), antialias=True)])
    expected = theirs(frame.permute(2, 0, 1)).permute(1, 2, 0)
    found = decode_torchcodec.crop_and_scale(frame, (37, 50), size=17)
    assert (found.int() - expected.int()).abs().max() <= 1
    assert found.dtype == torch.uint8


REAL = [
    "asl/bird.mkv",  # full range, starts at 33 ms
    "bikes.mp4",
    "car-detection.mp4",  # BT.601 by its header
    "echo-hereweare.webm",  # VP8, variable rate
    "h265_video.mp4",
    "pancake.mkv",
    "rotated_90.mov",  # BT.709 by its header
    "rotated_180.mov",
    "rotated_270.mov",
]


@pytest.mark.parametrize("name", REAL)
def test_real_videos_look_the_same_with_every_decoder(real_videos: Path, decoder: Decoder, name: str):
    path = str(real_videos / name)
    spec = ClipSpec(clip_seconds=0.7, frames_per_clip=7, size=65, crop_share=0.875)
    segments = plan_segments(probe_video(path).duration_seconds, clip_seconds=0.7, segment_seconds=2.1)
    segment = segments[min(1, len(segments) - 1)]
    expected = list(decode_clips(path, segment, spec))
    clips = list(decode_clips(path, segment, spec, decoder=decoder))
    assert [clip.index for clip in clips] == [clip.index for clip in expected]
    assert [clip.num_frames_seen for clip in clips] == [clip.num_frames_seen for clip in expected]
    for clip, reference in zip(clips, expected, strict=True):
        difference = np.abs(rgb_of(reference, 65) - clip.frames).mean((1, 2, 3))
        assert difference.max() < LARGEST_DIFFERENCE[decoder]


def test_decord_refuses_a_file_with_several_video_streams(real_videos: Path):
    pytest.importorskip("decord")
    with pytest.raises(VideoError, match="decode: decord cannot be told which video stream to take"):
        list(decode_clips(str(real_videos / "nasa_13013.mp4"), ALL, SPEC, decoder="decord"))


def test_torchcodec_takes_the_first_of_several_video_streams(real_videos: Path):
    require("torchcodec")
    path = str(real_videos / "nasa_13013.mp4")
    segment = Segment(index=0, first_clip=4, num_clips=1)
    (expected,) = decode_clips(path, segment, SPEC)
    (clip,) = decode_clips(path, segment, SPEC, decoder="torchcodec")
    assert np.abs(rgb_of(expected, 33) - clip.frames).mean() < LARGEST_DIFFERENCE["torchcodec"]


LUMA_WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
}  # of red and blue, ITU-R BT.601 and BT.709


def rgb_of(clip: Clip, size: int) -> np.ndarray:
    """The clip's yuv420p as RGB, float [frames, size, size, 3] of 0..255; chroma is repeated, 2 x 2."""
    half = (size + 1) // 2
    planes = np.split(clip.frames.astype(np.float64), [size**2, size**2 + half**2], axis=1)
    luma = planes[0].reshape(-1, size, size)
    blue, red = (
        plane.reshape(-1, half, half).repeat(2, 1).repeat(2, 2)[:, :size, :size] - 128 for plane in planes[1:]
    )
    if not clip.color.full_range:
        luma, blue, red = (luma - 16) * 255 / 219, blue * 255 / 224, red * 255 / 224
    red_weight, blue_weight = LUMA_WEIGHTS[clip.color.matrix]
    r = luma + 2 * (1 - red_weight) * red
    b = luma + 2 * (1 - blue_weight) * blue
    g = (luma - red_weight * r - blue_weight * b) / (1 - red_weight - blue_weight)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255)
