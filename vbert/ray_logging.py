"""Runs in every worker process as it starts, so it imports nothing else of ours."""

import logging


def quiet_worker() -> None:
    """Silence what Ray repeats every second where no dashboard is installed; failures come as exceptions."""
    logging.getLogger("ray.train.v2._internal.execution.controller.placement_group_cleaner").setLevel(
        logging.ERROR
    )
