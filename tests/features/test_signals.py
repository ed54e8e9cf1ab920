"""Motion, brightness, sharpness and cuts of clips, beside PySceneDetect, SciPy and values by hand."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from vbert.features.signals import signals_of
from vbert.tables.schemas import SIGNALS
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import Clip, ClipSpec, Color
from vbert.video.media import Segment

SIZE = 226  # no multiple of what is looked at
LIMITED = Color(matrix="bt709", full_range=False)
RGB = Color(matrix="rgb", full_range=True)


def spec(num_frames: int, *, size: int = SIZE) -> ClipSpec:
    return ClipSpec(clip_seconds=1.5, frames_per_clip=num_frames, size=size, crop_share=0.875)


def clip(frames: np.ndarray, color: Color = LIMITED) -> Clip:
    return Clip(index=0, frames=frames, color=color, num_corrupt_frames=0, num_frames_seen=len(frames))


def grey(*levels: int) -> np.ndarray:
    """Planar frames, each of one luma and no colour."""
    chroma = np.full((len(levels), SIZE * SIZE // 2), 128, np.uint8)
    luma = np.repeat(np.array(levels, np.uint8)[:, None], SIZE * SIZE, axis=1)
    return np.concatenate([luma, chroma], axis=1)


def painted(*colors: tuple[int, int, int]) -> np.ndarray:
    """RGB frames of one colour each."""
    return np.array(colors, np.uint8)[:, None, None].repeat(SIZE, axis=1).repeat(SIZE, axis=2)


def test_black_grey_and_white_by_hand():
    # Limited range: 16 is black, 235 white; 109 is (109 - 16) / 219 of it.
    found = signals_of([clip(grey(16, 16, 16)), clip(grey(235, 16, 109))], spec(3))
    middle = 255 * 93 / 219
    assert found["brightness"] == pytest.approx([0, (255 + middle) / 3], abs=0.01)
    assert found["motion"] == pytest.approx([0, (255 + middle) / 2], abs=0.01)
    assert found["cut"] == pytest.approx([0, 255 / 3], abs=0.01)  # of hue, saturation and value
    assert found["sharpness"] == [0, 0]


def test_full_range_is_taken_as_it_is():
    found = signals_of([clip(grey(16, 16, 20), Color(matrix="bt601", full_range=True))], spec(3))
    assert (found["brightness"], found["motion"]) == ([pytest.approx(52 / 3)], [2.0])


def test_a_cut_from_one_colour_to_another():
    colors = [(200, 40, 40), (40, 40, 200), (42, 40, 200)]
    first, second = (colorsys.rgb_to_hsv(*(part / 255 for part in color)) for color in colors[:2])
    hue, saturation, value = (abs(a - b) for a, b in zip(first, second, strict=True))
    (found,) = signals_of([clip(painted(*colors), RGB)], spec(3))["cut"]
    assert found == pytest.approx((180 * hue + 255 * (saturation + value)) / 3, abs=0.5)


@pytest.mark.parametrize("color", [RGB, Color(matrix="bt709", full_range=True)])
def test_sharpness_is_the_variance_of_scipys_laplacian(color: Color):
    noise = np.random.default_rng(0).integers(90, 160, (1, SIZE, SIZE)).astype(np.uint8)
    blurred = ndimage.uniform_filter(noise[0], 3)[None]
    for luma in (noise, blurred):
        planar = np.concatenate([luma.reshape(1, -1), np.full((1, SIZE * SIZE // 2), 128, np.uint8)], axis=1)
        frames = luma[..., None].repeat(3, axis=3) if color is RGB else planar
        (found,) = signals_of([clip(frames, color)], spec(1))["sharpness"]
        assert found == pytest.approx(ndimage.laplace(luma[0].astype(float)).var(), rel=0.1)


def test_a_clip_of_one_frame_has_neither_motion_nor_cut():
    found = signals_of([clip(grey(100))], spec(1))
    assert (found["motion"], found["cut"]) == ([None], [None])
    assert found["brightness"] == [pytest.approx(255 * 84 / 219)]


def test_of_many_frames_those_half_a_second_apart_are_compared():
    # 30 frames at 20 fps, of which the first, the 10th, the 19th and the last are looked at.
    levels = np.full(30, 16)
    levels[[1, 9, 11, 18, 20, 28]] = 235
    levels[29] = 235
    found = signals_of([clip(grey(*levels.tolist()))], spec(30))
    assert found["motion"] == [pytest.approx(255 / 3, abs=0.01)]
    assert found["brightness"] == [pytest.approx(255 / 4, abs=0.01)]


def test_no_clips_have_no_signals():
    assert signals_of([], spec(3)) == {name: [] for name in SIGNALS}


@pytest.mark.parametrize("name", ["bikes.mp4", "nasa_13013.mp4", "Megamind.avi"])
def test_content_scores_are_pyscenedetects_on_real_videos(real_videos: Path, name: str):
    size = 224
    segment = Segment(index=0, first_clip=0, num_clips=6)
    clips = list(decode_clips(str(real_videos / name), segment, spec(3, size=size)))
    found = signals_of(clips, spec(3, size=size))["cut"]
    expected = [max(scores_of_pyscenedetect(one, size=size)) for one in clips]
    # It looks at all pixels; chroma is spread over 2 x 2 of them.
    np.testing.assert_allclose(found, expected, atol=1.5)
    assert max(expected) > 27, "the video has a cut"


def scores_of_pyscenedetect(one: Clip, *, size: int) -> list[float]:
    """Of each two successive frames of a planar clip, in BGR by OpenCV's own conversion."""
    import cv2  # with the next, half a second, which no other test waits for
    from scenedetect import ContentDetector, FrameTimecode, StatsManager

    detector, stats = ContentDetector(), StatsManager()
    detector.stats_manager = stats
    times = [FrameTimecode(number, fps=2.0) for number in range(len(one.frames))]
    for time, frame in zip(times, one.frames, strict=True):
        # OpenCV's is BT.601 in limited range.
        bgr = cv2.cvtColor(frame.reshape(size * 3 // 2, size), cv2.COLOR_YUV2BGR_I420)
        detector.process_frame(time, bgr)
    return [stats.get_metrics(time, ["content_val"])[0] for time in times[1:]]
