"""From YCbCr to RGB: the affine map of each standard and range."""

from functools import cache

import numpy as np

from vbert.video.frame_grid import Color

# Shares of red and blue in luma: Rec. ITU-R BT.601-7 (2.5.1), BT.709-6 (3.2), BT.2020-2 (table 4,
# non-constant luminance). Green's share is the rest.
LUMA_SHARES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


def rgb_map(color: Color) -> tuple[np.ndarray, np.ndarray]:
    """Float32 weights [3, 3] and bias [3] that take (y, cb, cr) in 0..255 to RGB in 0..1.

    Limited range: black at 16, white at 235, chroma 128 +- 112 (BT.601-7, 2.5.3).
    """
    red, blue = LUMA_SHARES[color.matrix]
    green = 1 - red - blue
    # RGB of y in 0..1 and chroma in -0.5..0.5; solved from y = red*r + green*g + blue*b,
    # cb = (b - y) / (2 - 2*blue), cr = (r - y) / (2 - 2*red).
    weights = np.array(
        [
            [1, 0, 2 - 2 * red],
            [1, -blue * (2 - 2 * blue) / green, -red * (2 - 2 * red) / green],
            [1, 2 - 2 * blue, 0],
        ]
    )
    black, luma_steps, chroma_steps = _range(color)
    weights /= np.array([luma_steps, chroma_steps, chroma_steps])
    bias = -weights @ np.array([black, 128, 128])
    return weights.astype(np.float32), bias.astype(np.float32)


@cache
def luma_levels(color: Color) -> np.ndarray:
    """Float32 [256]: for each byte of luma its level from 0, black, to 255, white."""
    black, luma_steps, _ = _range(color)
    return np.clip((np.arange(256) - black) * 255 / luma_steps, 0, 255).astype(np.float32)


def _range(color: Color) -> tuple[int, int, int]:
    """Which byte is black, and how many steps there are to white and from one end of chroma to the other."""
    return (0, 255, 255) if color.full_range else (16, 219, 224)
