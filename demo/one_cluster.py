"""One Ray cluster of this machine for all commands of a demo: each would start its own for seconds."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_cluster() -> Iterator[None]:
    """The commands within join the cluster that RAY_ADDRESS names, else one that is up as long as this."""
    if os.environ.get("RAY_ADDRESS"):
        yield
        return
    import ray  # takes a second

    ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR)
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        ray.shutdown()
        del os.environ["RAY_ADDRESS"]
