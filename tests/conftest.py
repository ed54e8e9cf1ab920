"""Fixtures that more than one test module uses."""

import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.job_process import JOBS, end_jobs

pytest_plugins = ["tests.time_budget"]

ROOT = Path(__file__).parents[1]
# Ray tells its makers nothing of tests, and starts no actor for it in each of their jobs.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# An actor of every training that asks whether this machine is about to be taken away.
os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
REAL_VIDEOS = Path(os.environ.get("VBERT_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))

Run = Callable[..., int]


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
        sys.modules["ray"].shutdown()  # a node that this process is connected to cannot be taken away


@pytest.fixture(autouse=True)
def jobs_end() -> Iterator[None]:
    """A job that a failed test has left goes with it, and takes no CPU from the next ones."""
    yield
    end_jobs()


@pytest.fixture
def joined(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's jobs run on that cluster. It stays connected for the next test that asks for it: a new
    connection would start new workers, each of which imports for seconds."""
    from vbert.distributed.cluster import connect

    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    connect()


@pytest.fixture
def run_job(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `jobs/<name>.py` in this process: its exit status."""

    def run(job: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [f"{job}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(JOBS / f"{job}.py"), run_name="__main__")
        assert isinstance(stop.value.code, int)
        return stop.value.code

    return run


@pytest.hookimpl(tryfirst=True)  # pytest-xdist then reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use Ray run in one process, one after the other and first: the rest fills the other one."""
    for item in items:
        uses_ray = is_of_ray(item)
        group = "ray" if uses_ray else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
        if uses_ray:
            # It leaves sockets and files to the collector, and warns of its own next version.
            item.add_marker(pytest.mark.filterwarnings("ignore"), append=False)
    items.sort(key=lambda item: not is_of_ray(item))


def is_of_ray(item: pytest.Item) -> bool:
    """Whether a test uses a Ray cluster, its own or the session's."""
    return "ray_cluster" in getattr(item, "fixturenames", ()) or item.get_closest_marker("ray") is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What has nothing to do with Ray finds a process that is not connected."""
    if "ray" in sys.modules and not is_of_ray(item):
        sys.modules["ray"].shutdown()
