"""What a job computes on: what it was asked for, else what the cluster has or says that it may have.

A node that the autoscaler starts when it is asked is not there yet when a job looks. So a job that was told
`--gpus 8` asks for eight, and waits; it never computes on CPUs instead.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from vbert.errors import UserError

AUTO, NONE = "auto", "none"
SECONDS_TO_FIRST_LINE = 1.0  # from when the cluster is known
SECONDS_BETWEEN_LINES = 20.0


def check_gpus(asked: str) -> None:
    """UserError unless it is auto, none or a number from 1."""
    if asked not in (AUTO, NONE) and not (asked.isdecimal() and int(asked) >= 1):
        raise UserError(f"--gpus {asked}: must be auto, none or how many, from 1")


def count_gpus(asked: str = AUTO) -> int:
    """How many GPUs the job may take; its driver may have none of them."""
    if asked == NONE:
        return 0
    return _may_have("GPU") if asked == AUTO else int(asked)


def count_cpus() -> int:
    """How many single-core workers the cluster takes."""
    return max(1, _may_have("CPU"))


def _may_have(resource: str) -> int:
    """What there is, or what the autoscaler has told Ray that there may be: not each one tells."""
    promised = ray._private.state.state.get_max_resources_from_cluster_config() or {}
    return int(max(_has(resource), min(promised.get(resource) or 0, 2**31)))


def _has(resource: str) -> float:
    resources: dict[str, float] = ray.cluster_resources()
    return resources.get(resource, 0.0)


def actor_range(asked: str | None, name: str) -> tuple[int, int] | None:
    """`8` -> (8, 8), `1:64` -> (1, 64), None -> None; UserError for another text of the option `name`."""
    if asked is None:
        return None
    first, colon, last = asked.partition(":")
    if not (first.isdecimal() and (last.isdecimal() if colon else not last)):
        raise UserError(f"{name} {asked}: must be a number, or the least and the most, as 1:64")
    least, most = int(first), int(last or first)
    if not 1 <= least <= most:
        raise UserError(f"{name} {asked}: must be at least 1, and the most no less than the least")
    return least, most


def require_gpu(asked: str) -> None:
    """If a number was asked for: wait until the first GPU is there. UserError if torch does not see it."""
    if asked not in (AUTO, NONE) and not ray.get(_sees_gpu.remote()):
        raise UserError(
            f"--gpus {asked}: torch sees none on a node that has one; give its image a torch with CUDA, or "
            "say --gpus none"
        )


@ray.remote(num_cpus=1, num_gpus=1)
def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@contextmanager
def waiting_told(job: str, *, gpus: str) -> Iterator[None]:
    """Around a job's work: say, now and then, for what it waits that the cluster has not started yet."""
    ended = threading.Event()
    thread = threading.Thread(target=_tell, args=(job, gpus, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(job: str, gpus: str, ended: threading.Event) -> None:
    needs = ["CPU"] if gpus in (AUTO, NONE) else ["CPU", "GPU"]
    asked = "" if gpus == AUTO else f" (--gpus {gpus})"
    seconds = SECONDS_TO_FIRST_LINE
    while not ended.wait(seconds):
        if not ray.is_initialized():
            continue
        seconds = SECONDS_BETWEEN_LINES
        lacking = " and a ".join(name for name in needs if _has(name) < 1)
        if not lacking:
            return
        line = f"{job}: waits for a node with a {lacking}{asked}; the cluster has none"
        print(line, file=sys.stderr, flush=True)
