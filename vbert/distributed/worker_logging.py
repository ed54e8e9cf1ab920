"""Runs in every worker process as it starts, so it imports nothing else of ours."""

import logging
from pathlib import Path

import ray

EXECUTION = "ray/train/v2/_internal/execution"


def quiet_worker() -> None:
    """Silence what Ray tells beside our own progress; failures come as exceptions."""
    site_packages = Path(ray.__file__).parents[1]
    for name in (
        # Repeats itself every second where no dashboard is installed.
        f"{EXECUTION}/controller/placement_group_cleaner".replace("/", "."),
        # As often says which of several clusters of this machine it looks at.
        "ray._private.services",
        # Tells of each checkpoint, under a name that is its file's path.
        str(site_packages / EXECUTION / "context.py"),
        # Says of each client of a store where it found its endpoint and its credentials.
        "botocore",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
