"""Runs in every worker process as it starts, so it imports nothing else of ours."""

import logging

# The first repeats itself every second where no dashboard is installed, the second at each checkpoint.
QUIET = (
    "ray.train.v2._internal.execution.controller.placement_group_cleaner",
    "ray.train.v2._internal.execution.context",
)


def quiet_worker() -> None:
    """Silence what Ray tells beside our own progress; failures come as exceptions."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
