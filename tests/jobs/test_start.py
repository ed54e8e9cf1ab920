"""How a job comes to its Ray cluster, and what is said when that goes away under it."""

import os
import pkgutil
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray

from benchmarks.startup import PARTS
from tests.job_process import Job
from vbert.distributed.cluster import ENDED_FROM_OUTSIDE

pytestmark = pytest.mark.slow

# When a node has not answered for a second it is dead, and not after half a minute.
SOON_GIVEN_UP = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "300",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}
# Ray Data's actors are those that Ray's core warns of.
SCRIPT = """
import ray, time
from vbert.distributed.cluster import connect, quiet_data

class Same:
    def __call__(self, batch): return batch

connect()
quiet_data()
ray.data.range(2).map_batches(Same, compute=ray.data.ActorPoolStrategy(size=1)).materialize()
print("gcs", ray.get_runtime_context().gcs_address, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("place", PARTS.values())
def test_the_parts_that_the_benchmark_times_are_where_it_looks_for_them(place: str):
    assert callable(pkgutil.resolve_name(place))


def test_a_job_starts_a_cluster_of_its_own_whose_end_it_tells(
    joined: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without RAY_ADDRESS, though another cluster runs on the same machine; and it prints nothing else."""
    theirs = ray.get_runtime_context().gcs_address
    monkeypatch.delenv("RAY_ADDRESS")
    for name, value in SOON_GIVEN_UP.items():
        monkeypatch.setenv(name, value)
    job = Job([sys.executable, "-c", SCRIPT], folder=tmp_path, environment=os.environ)
    try:
        ours = said_line(job, "gcs ").removeprefix("gcs ")
        assert ours != theirs
        assert job.said() == f"gcs {ours}\n"
        (raylet,) = (child for child in psutil.Process(job.pid).children() if child.name() == "raylet")
        raylet.kill()
        assert said_line(job, "error: ") == ENDED_FROM_OUTSIDE
    finally:
        job.kill()
        job.wait()


def said_line(job: Job, start: str) -> str:
    """The first line that it prints with this start."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        for line in job.said().splitlines():
            if line.startswith(start):
                return line
        time.sleep(0.1)
    raise AssertionError(f"no line {start!r} in:\n{job.said()}")
