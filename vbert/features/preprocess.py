"""uint8 frames -> normalised float RGB on the model's device, all clips of a batch at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Normalize(nn.Module):
    """(rgb - mean) / std by channel."""

    mean_3HW: torch.Tensor
    std_3HW: torch.Tensor

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean_3HW", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std_3HW", torch.tensor(std).view(3, 1, 1))

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """[..., 3, height, width], the same back."""
        return (rgb - self.mean_3HW) / self.std_3HW


class PlanarPixels(nn.Module):
    """What a backbone takes, of clips in planar yuv420p that may differ in colour."""

    def __init__(self, *, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.size = size
        self.normalize = Normalize(mean=mean, std=std)

    def forward(self, frames: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """uint8 [N, T, bytes], with the maps of `color.rgb_map` in float32 [N, 3, 3] and [N, 3] ->
        float32 [N, T, 3, size, size]."""
        rgb: torch.Tensor = self.normalize(planar_to_rgb(frames, weights, bias, size=self.size))
        return rgb


class PackedPixels(nn.Module):
    """What a backbone takes, of clips in packed RGB."""

    def __init__(self, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalize = Normalize(mean=mean, std=std)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [N, T, size, size, 3] -> float32 [N, T, 3, size, size]."""
        rgb: torch.Tensor = self.normalize(packed_to_rgb(frames))
        return rgb


def packed_to_rgb(frames: torch.Tensor) -> torch.Tensor:
    """uint8 [N, T, size, size, 3] -> float32 in [0, 1], [N, T, 3, size, size]."""
    return frames.movedim(-1, 2).float() / 255


def planar_to_rgb(
    frames: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor, *, size: int
) -> torch.Tensor:
    """uint8 [N, T, bytes] -> float32 RGB in [0, 1], [N, T, 3, size, size].

    `weights` [N, 3, 3] and `bias` [N, 3] are each clip's `color.rgb_map`. Values outside the RGB cube are
    clipped, as every player does.
    """
    chroma_size = (size + 1) // 2
    luma_bytes, chroma_bytes = size**2, 2 * chroma_size**2
    assert frames.shape[2:] == (luma_bytes + chroma_bytes,), frames.shape
    num_clips, frames_per_clip = frames.shape[:2]
    luma, chroma = frames.float().tensor_split([luma_bytes], dim=2)
    luma_NTHW = luma.reshape(num_clips, frames_per_clip, size, size)
    chroma = chroma.reshape(-1, 2, chroma_size, chroma_size)
    blue_NTHW, red_NTHW = _upsample(chroma, size=size).reshape(num_clips, -1, 2, size, size).unbind(2)

    # One affine map a clip: rgb = weights @ (y, cb, cr) + bias, written out so that clips may differ.
    weights = weights[:, None, :, :, None, None]
    rgb = bias[:, None, :, None, None] + weights[..., 0, :, :] * luma_NTHW[:, :, None]
    rgb += weights[..., 1, :, :] * blue_NTHW[:, :, None]
    rgb += weights[..., 2, :, :] * red_NTHW[:, :, None]
    return rgb.clamp_(0, 1)


def _upsample(chroma: torch.Tensor, *, size: int) -> torch.Tensor:
    """[M, 2, h, h] -> [M, 2, size, size], linear, the two planes spanning the same square.

    That undoes what swscale did when it made the frame: chroma in the middle of 2x2 pixels, or stretched over
    the picture where the size is odd. (Sited to the left, as in most H.264, it would lie half a pixel off in
    colour, not in luma.) Linear is what swscale itself does at full quality, to within its rounding.
    """
    return F.interpolate(chroma, size=(size, size), mode="bilinear", align_corners=False)
