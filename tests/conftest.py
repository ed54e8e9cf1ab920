"""Fixtures that more than one test module uses."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.job_process import end_jobs

ROOT = Path(__file__).parents[1]
# Ray tells its makers nothing of tests, and starts no actor for it in each of their jobs.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
REAL_VIDEOS = Path(os.environ.get("VBERT_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """A folder of real videos of several codecs (README, Tests)."""
    if not REAL_VIDEOS.is_dir():
        pytest.skip(f"no real videos at {REAL_VIDEOS}; set VBERT_TEST_VIDEOS to a folder that has them")
    return REAL_VIDEOS


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As a worker has: on a busy machine more threads wait for each other, three times as long."""
    import torch  # takes seconds, and few modules want it

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of one node with two CPUs, up until the last test."""
    from tests.ray_nodes import QUIET, cluster_of  # takes a second, and few tests want it

    with cluster_of(head={**QUIET, "num_cpus": 2}) as cluster:
        yield cluster.address


@pytest.fixture(autouse=True)
def jobs_end() -> Iterator[None]:
    """A job that a failed test has left goes with it, and takes no CPU from the next ones."""
    yield
    end_jobs()


@pytest.fixture
def joined(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs of this process run on that cluster."""
    import ray

    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    yield
    ray.shutdown()
