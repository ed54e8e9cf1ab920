"""What a training's worker leaves unsaid."""

import logging
from pathlib import Path

import ray


def quiet_worker() -> None:
    """Silence what is told beside our own progress; failures come as exceptions."""
    site_packages = Path(ray.__file__).parents[1]
    for name in (
        # Tells of each checkpoint, under a name that is its file's path.
        str(site_packages / "ray" / "train" / "v2" / "_internal" / "execution" / "context.py"),
        # Says of each client of a store where it found its endpoint and its credentials.
        "botocore",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
