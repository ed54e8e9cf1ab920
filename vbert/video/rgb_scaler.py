"""Crop and scale pictures that are RGB already: of a decoder that gives such, or of a caller."""

from fractions import Fraction

import numpy as np

from vbert.video.frame_grid import ClipSpec, crop_box


def crop_and_scale(frame: np.ndarray, spec: ClipSpec, *, pixel_aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Uint8 [height, width, 3] as shown, rotated -> uint8 [size, size, 3]."""
    import torch  # takes seconds, and most decoders scale by themselves

    height, width = frame.shape[:2]
    x, y, crop_width, crop_height = crop_box(
        width, height, crop_share=spec.crop_share, pixel_aspect=pixel_aspect
    )
    cropped = torch.from_numpy(frame[y : y + crop_height, x : x + crop_width]).permute(2, 0, 1)
    resize = torch.nn.functional.interpolate
    scaled = resize(cropped[None], (spec.size, spec.size), mode=spec.interpolation, antialias=True)
    pixels: np.ndarray = scaled[0].permute(1, 2, 0).numpy()
    return pixels
