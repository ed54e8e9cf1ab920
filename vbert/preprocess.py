"""uint8 clips -> float RGB on the model's device, all clips of a batch at once."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from vbert.frame_grid import Clip, Color

# Shares of red and blue in luma: Rec. ITU-R BT.601-7 (2.5.1), BT.709-6 (3.2), BT.2020-2 (table 4,
# non-constant luminance). Green's share is the rest.
LUMA_SHARES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def clips_to_rgb(clips: Sequence[Clip], *, size: int, device: torch.device) -> torch.Tensor:
    """Clips of one length -> float32 RGB in [0, 1], [num_clips, frames_per_clip, 3, size, size].

    The clips may differ in color. Values outside the RGB cube are clipped, as every player does.
    """
    is_rgb = torch.tensor([clip.color.matrix == "rgb" for clip in clips])
    if is_rgb.all():
        return _packed_to_rgb(clips, size=size, device=device)
    if not is_rgb.any():
        return _planar_to_rgb(clips, size=size, device=device)
    return torch.cat([clips_to_rgb([clip], size=size, device=device) for clip in clips])


def normalize(rgb: torch.Tensor, *, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(rgb - mean) / std by channel; `rgb` is [..., 3, height, width]."""
    mean_3HW, std_3HW = (torch.tensor(values, device=rgb.device).view(3, 1, 1) for values in (mean, std))
    return (rgb - mean_3HW) / std_3HW


def _packed_to_rgb(clips: Sequence[Clip], *, size: int, device: torch.device) -> torch.Tensor:
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(device)
    assert frames.shape[2:] == (size, size, 3), frames.shape
    return frames.movedim(-1, 2).float() / 255


def _planar_to_rgb(clips: Sequence[Clip], *, size: int, device: torch.device) -> torch.Tensor:
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(device)
    chroma_size = (size + 1) // 2
    luma_bytes, chroma_bytes = size**2, 2 * chroma_size**2
    assert frames.shape[2:] == (luma_bytes + chroma_bytes,), frames.shape
    num_clips, frames_per_clip = frames.shape[:2]
    luma, chroma = frames.float().tensor_split([luma_bytes], dim=2)
    luma_NTHW = luma.reshape(num_clips, frames_per_clip, size, size)
    chroma = chroma.reshape(-1, 2, chroma_size, chroma_size)
    blue_NTHW, red_NTHW = _upsample(chroma, size=size).reshape(num_clips, -1, 2, size, size).unbind(2)

    # One affine map a clip: rgb = weights @ (y, cb, cr) + bias, written out so that clips may differ.
    maps = [_rgb_map(clip.color) for clip in clips]
    weights = torch.stack([weights for weights, _ in maps]).to(device)[:, None, :, :, None, None]
    bias = torch.stack([bias for _, bias in maps]).to(device)[:, None, :, None, None]
    rgb = bias + weights[..., 0, :, :] * luma_NTHW[:, :, None]
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


def _rgb_map(color: Color) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [3, 3] and bias [3] that take (y, cb, cr) in 0..255 to RGB in 0..1.

    Limited range: black at 16, white at 235, chroma 128 +- 112 (BT.601-7, 2.5.3).
    """
    red, blue = LUMA_SHARES[color.matrix]
    green = 1 - red - blue
    # RGB of y in 0..1 and chroma in -0.5..0.5; solved from y = red*r + green*g + blue*b,
    # cb = (b - y) / (2 - 2*blue), cr = (r - y) / (2 - 2*red).
    weights = torch.tensor(
        [
            [1, 0, 2 - 2 * red],
            [1, -blue * (2 - 2 * blue) / green, -red * (2 - 2 * red) / green],
            [1, 2 - 2 * blue, 0],
        ],
        dtype=torch.float64,
    )
    black, luma_steps, chroma_steps = (0, 255, 255) if color.full_range else (16, 219, 224)
    weights /= torch.tensor([luma_steps, chroma_steps, chroma_steps], dtype=torch.float64)
    bias = -weights @ torch.tensor([black, 128, 128], dtype=torch.float64)
    return weights.float(), bias.float()
