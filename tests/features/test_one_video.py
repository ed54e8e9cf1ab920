"""One video at a time, without tables: decoded as the job would."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.videos import Video, break_packets, write_video
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.one_video import VideoFeaturizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def test_a_video_without_keyframes_is_decoded_in_one_pass_and_a_broken_segment_is_left_out(tmp_path: Path):
    """Nine seconds in segments of three, from one keyframe; then with the packets of the second destroyed."""
    config = FeaturizerConfig(frames_per_clip=1, segment_seconds=3.0, max_corrupt_share=0.0)
    videos = VideoFeaturizer(config, device="cpu")
    path = write_video(tmp_path / "screen.mkv", Video(num_frames=90, fps=Fraction(10), gop=900))
    whole = videos.of_file(str(path))
    assert whole.start_seconds.tolist() == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5]
    keyed = write_video(tmp_path / "keyed.mp4", Video(num_frames=90, fps=Fraction(10), gop=30))
    expected = videos.of_file(str(keyed))
    np.testing.assert_allclose(whole.features, expected.features, atol=0.2 * np.abs(expected.features).max())
    break_packets(keyed, range(30, 60))
    found = videos.of_file(str(keyed))
    assert found.start_seconds.tolist() == [0.0, 1.5, 6.0, 7.5]
    np.testing.assert_array_equal(found.features, expected.features[[0, 1, 4, 5]])
