"""Fixtures that more than one test module uses."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REAL_VIDEOS = Path(os.environ.get("VBERT_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """A folder of real videos of several codecs (README, Tests)."""
    if not REAL_VIDEOS.is_dir():
        pytest.skip(f"no real videos at {REAL_VIDEOS}; set VBERT_TEST_VIDEOS to a folder that has them")
    return REAL_VIDEOS
