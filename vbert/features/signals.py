"""What a clip looks like in four numbers, from the frames that its backbone is shown: no second decoding.

A mean over a picture is taken over one pixel in EVERY x EVERY: a content score is off by 1 at most.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vbert.tables.schemas import SIGNALS
from vbert.video.color import luma_levels, rgb_map
from vbert.video.frame_grid import Clip, ClipSpec, Color

APART_SECONDS = 0.5  # what lies between two frames: as in three frames of 1.5 s
EVERY = 6  # even: chroma has half as many
HUES = 180  # of a circle, as OpenCV counts them; Pillow has 255


def signals_of(clips: Sequence[Clip], spec: ClipSpec) -> dict[str, list[float | None]]:
    """The columns of schemas.SIGNALS, a value a clip, by the clip's frames about half a second apart.

    - `motion`: mean absolute difference of the luma of successive frames, 0 to 255;
    - `brightness`: mean luma, 0 (black) to 255;
    - `sharpness`: variance of the luma's Laplacian (Pech-Pacheco et al. 2000), the mean of the frames;
    - `cut`: the largest content score of two successive frames (PySceneDetect's ContentDetector): the mean of
      the absolute differences of hue (0 to 179), saturation and value (0 to 255). From 27 on it sees a cut.

    Motion and cut are None for clips of one frame.
    """
    places = _half_a_second_apart(spec)
    found = [_signals(clip.frames[places], clip.color, size=spec.size) for clip in clips]
    return {name: [signals[name] for signals in found] for name in SIGNALS}


def _signals(frames: np.ndarray, color: Color, *, size: int) -> dict[str, float | None]:
    luma = _luma(frames, color, size=size)
    centre = slice(1, -1, EVERY)
    around = [(slice(None, -2, EVERY), centre), (slice(2, None, EVERY), centre)]
    around += [(columns, rows) for rows, columns in around]
    levels = luma_levels(color)
    laplacian = -4 * levels[luma[:, centre, centre]]
    for rows, columns in around:
        laplacian += levels[luma[:, rows, columns]]
    sampled = levels[luma[:, ::EVERY, ::EVERY]]
    hsv = _hsv(frames, color, size=size)
    return {
        "motion": float(np.abs(np.diff(sampled, axis=0)).mean()) if len(frames) > 1 else None,
        "brightness": float(sampled.mean()),
        "sharpness": float(laplacian.var(axis=(1, 2)).mean()),
        "cut": float(_content_scores(hsv).max()) if len(frames) > 1 else None,
    }


def _half_a_second_apart(spec: ClipSpec) -> np.ndarray:
    """Which frames of a clip: the first and the last, and those between that are nearest to it."""
    last = spec.frames_per_clip - 1
    num_steps = min(last, round(last * spec.clip_seconds / spec.frames_per_clip / APART_SECONDS))
    return np.linspace(0, last, max(num_steps, min(last, 1)) + 1).round().astype(np.int64)


def _luma(frames: np.ndarray, color: Color, *, size: int) -> np.ndarray:
    """uint8 [T, size, size] as the frames have it, in its range; of RGB by the shares of BT.601."""
    if color.matrix == "rgb":
        return _converted(frames, "L")
    return frames[:, : size**2].reshape(-1, size, size)


def _hsv(frames: np.ndarray, color: Color, *, size: int) -> np.ndarray:
    """Float32 [T, h, w, 3] of one pixel in EVERY x EVERY: 0 to 179, 0 to 255, 0 to 255."""
    hsv: np.ndarray = _converted(_rgb(frames, color, size=size), "HSV").astype(np.float32)
    hsv[..., 0] *= HUES / 255
    return hsv


def _rgb(frames: np.ndarray, color: Color, *, size: int) -> np.ndarray:
    """uint8 [T, h, w, 3] of one pixel in EVERY x EVERY."""
    if color.matrix == "rgb":
        return frames[:, ::EVERY, ::EVERY]
    luma, chroma = frames[:, : size**2], frames[:, size**2 :]
    half = (size + 1) // 2
    luma = luma.reshape(-1, size, size)[:, ::EVERY, ::EVERY]
    chroma = chroma.reshape(-1, 2, half, half)[:, :, :: EVERY // 2, :: EVERY // 2]
    weights, bias = rgb_map(color)
    pixels = np.stack([luma, chroma[:, 0], chroma[:, 1]], axis=-1).astype(np.float32)
    rgb = np.clip(pixels @ weights.T + bias, 0, 1)
    # To bytes: of a grey that is off by a millionth the hue may be any.
    rounded: np.ndarray = np.rint(255 * rgb).astype(np.uint8)
    return rounded


def _converted(frames: np.ndarray, mode: str) -> np.ndarray:
    """uint8 RGB [T, h, w, 3] -> another mode of Pillow's, all frames as one tall picture."""
    height, width = frames.shape[1:3]
    tall = Image.fromarray(np.ascontiguousarray(frames).reshape(-1, width, 3))
    converted = np.asarray(tall.convert(mode))
    return converted.reshape(-1, height, width, *converted.shape[2:])


def _content_scores(hsv: np.ndarray) -> np.ndarray:
    """Of each two successive frames. A hue of 179 and one of 0 are far apart here, as in PySceneDetect."""
    scores: np.ndarray = np.abs(np.diff(hsv, axis=0)).mean(axis=(1, 2, 3))
    return scores
