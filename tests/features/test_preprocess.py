import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from vbert.features.preprocess import Normalize, packed_to_rgb, planar_to_rgb
from vbert.video.color import rgb_map
from vbert.video.frame_grid import Color

LIMITED_601 = Color(matrix="bt601", full_range=False)
COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}


def rgb_of(clips: list[np.ndarray], colors: list[Color], *, size: int) -> torch.Tensor:
    weights, biases = zip(*map(rgb_map, colors), strict=True)
    frames, weights, biases = (torch.from_numpy(np.stack(arrays)) for arrays in (clips, weights, biases))
    return planar_to_rgb(frames, weights, biases, size=size)


def plain_clip(y: int, u: int, v: int, *, size: int = 5, num_frames: int = 2) -> np.ndarray:
    chroma_bytes = ((size + 1) // 2) ** 2
    frame = np.repeat(np.array([y, u, v], np.uint8), [size**2, chroma_bytes, chroma_bytes])
    return np.stack([frame] * num_frames)


def smooth_picture(size: int, *, seed: int) -> np.ndarray:
    """uint8 RGB [size, size, 3] of low frequencies: subsampled chroma loses little of it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    frame = VideoFrame.from_ndarray(coarse, format="rgb24")
    return frame.reformat(width=size, height=size, interpolation=Interpolation.BICUBIC).to_ndarray()


def as_yuv(picture: np.ndarray, color: Color) -> VideoFrame:
    """The yuv420p frame that swscale makes of an RGB picture."""
    return VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=COLORSPACES[color.matrix],
        dst_color_range=ColorRange.JPEG if color.full_range else ColorRange.MPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
    )


def planes_of(frame: VideoFrame) -> np.ndarray:
    """Planar yuv420p bytes without the padding of lines."""
    planes = [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in frame.planes]
    return np.concatenate([plane.ravel() for plane in planes])


def swscale_rgb(frame: VideoFrame, color: Color) -> np.ndarray:
    return frame.to_ndarray(
        format="rgb24",
        src_colorspace=COLORSPACES[color.matrix],
        src_color_range=ColorRange.JPEG if color.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
    )


# Code values of the standards' colour bars, rounded: BT.601-7 and BT.709-6 in 8 bits, JFIF for full range.
@pytest.mark.parametrize(
    ("color", "yuv", "rgb"),
    [
        (LIMITED_601, (81, 90, 240), (1, 0, 0)),
        (LIMITED_601, (145, 54, 34), (0, 1, 0)),
        (LIMITED_601, (41, 240, 110), (0, 0, 1)),
        (LIMITED_601, (16, 128, 128), (0, 0, 0)),
        (LIMITED_601, (235, 128, 128), (1, 1, 1)),
        (Color(matrix="bt709", full_range=False), (63, 102, 240), (1, 0, 0)),
        (Color(matrix="bt709", full_range=False), (173, 42, 26), (0, 1, 0)),
        (Color(matrix="bt709", full_range=False), (32, 240, 118), (0, 0, 1)),
        (Color(matrix="bt2020", full_range=False), (74, 97, 240), (1, 0, 0)),
        (Color(matrix="bt601", full_range=True), (76, 85, 255), (1, 0, 0)),
        (Color(matrix="bt601", full_range=True), (150, 44, 21), (0, 1, 0)),
        (Color(matrix="bt601", full_range=True), (128, 128, 128), (128 / 255, 128 / 255, 128 / 255)),
    ],
)
def test_the_primaries_of_each_matrix_and_range_come_out_pure(
    color: Color, yuv: tuple[int, int, int], rgb: tuple[float, float, float]
):
    out = rgb_of([plain_clip(*yuv)], [color], size=5)
    assert out.shape == (1, 2, 3, 5, 5)
    expected = torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1).expand(1, 2, 3, 5, 5)
    # Half a code value of chroma is up to 1 % of red or blue.
    torch.testing.assert_close(out, expected, atol=0.011, rtol=0)


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("size", [64, 75])
def test_a_picture_looks_as_swscale_shows_it(matrix: str, full_range: bool, size: int):
    color = Color(matrix=matrix, full_range=full_range)
    frame = as_yuv(smooth_picture(size, seed=size), color)
    ours = rgb_of([planes_of(frame)[None]], [color], size=size)[0, 0]
    theirs = torch.from_numpy(swscale_rgb(frame, color)).permute(2, 0, 1) / 255
    difference = (ours - theirs).abs() * 255
    assert difference.max() < 0.6  # theirs is rounded to integers


def test_the_wrong_matrix_or_range_would_be_seen():
    color = Color(matrix="bt709", full_range=False)
    frame = as_yuv(smooth_picture(64, seed=3), color)
    theirs = torch.from_numpy(swscale_rgb(frame, color)).permute(2, 0, 1) / 255
    for wrong in (LIMITED_601, Color(matrix="bt709", full_range=True)):
        ours = rgb_of([planes_of(frame)[None]], [wrong], size=64)[0, 0]
        assert (ours - theirs).abs().mean() * 255 > 3.0


@pytest.mark.parametrize("size", [64, 75])
def test_a_colour_edge_stays_where_it_was(size: int):
    left_red = np.zeros((size, size, 3), np.uint8)
    left_red[:, : size // 2, 0] = left_red[:, size // 2 :, 2] = 255
    frame = as_yuv(left_red, LIMITED_601)
    ours = rgb_of([planes_of(frame)[None]], [LIMITED_601], size=size)[0, 0]
    redder = (ours[0] > ours[2]).float().mean(0)
    assert redder[: size // 2 - 1].min() == 1
    assert redder[size // 2 + 1 :].max() == 0


def test_clips_of_different_colors_share_a_batch():
    clips = [plain_clip(81, 90, 240, size=7), plain_clip(63, 102, 240, size=7)]
    colors = [LIMITED_601, Color(matrix="bt709", full_range=False)]
    together = rgb_of(clips, colors, size=7)
    alone = [rgb_of([clip], [color], size=7)[0] for clip, color in zip(clips, colors, strict=True)]
    assert torch.equal(together, torch.stack(alone))


def test_packed_pixels_only_change_their_order_and_scale():
    packed = np.random.default_rng(1).integers(0, 256, (1, 2, 7, 7, 3), np.uint8)
    rgb = packed_to_rgb(torch.from_numpy(packed))
    assert torch.equal((rgb * 255).round().byte(), torch.from_numpy(packed).permute(0, 1, 4, 2, 3))


def test_normalizing_is_by_channel():
    rgb = torch.tensor([0.5, 0.25, 1.0]).view(1, 1, 3, 1, 1).expand(2, 3, 3, 4, 5)
    out = Normalize(mean=(0.5, 0.05, 0.4), std=(0.1, 0.2, 0.3))(rgb)
    torch.testing.assert_close(out[1, 2, :, 3, 4], torch.tensor([0.0, 1.0, 2.0]))
    assert out.shape == rgb.shape
