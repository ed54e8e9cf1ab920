"""Fixtures that more than one test module uses."""

import atexit
import gc
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.job_process import JOBS, end_jobs

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

pytest_plugins = ["tests.time_budget"]

gc.disable()  # until all is imported, of which the collector would look through everything every time

ROOT = Path(__file__).parents[1]
# Ray tells its makers nothing of tests, and starts no actor for it in each of their jobs.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# An actor of every training that asks whether this machine is about to be taken away.
os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
if "PYTEST_XDIST_WORKER" not in os.environ:  # the graphs of backbones are made once a run
    CACHE = tempfile.mkdtemp(prefix="vbert-cache-")
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = CACHE
# The processes of a run share the cores: where threads are more than cores, each waits for the others, and
# models as small as tests' are no faster with two.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # where a worker takes two: who waits takes no CPU
# Its own limit is a fifth of a second, on any machine; ours grow with the machine (time_budget.py).
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
REAL_VIDEOS = Path(os.environ.get("VBERT_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))

SHARE_OF_FAULTS = 0.05
# A quarter of what the tests that use Ray take; the longest first.
TRAININGS = ("tests/jobs/test_pretrain.py", "tests/jobs/test_finetune.py")
LAST = "tests/video/"  # a tenth of what the tests without Ray take

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
    from tests.ray_nodes import cluster_of  # takes a second, and few tests want it

    with cluster_of(head={"num_cpus": 2}) as cluster:
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
    from ray._private.worker import global_worker
    from ray.experimental.internal_kv import _initialize_internal_kv

    from vbert.distributed.cluster import connect

    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    connect()
    # Clusters of other tests (`ray.cluster_utils`) put theirs in its place, and take it away as they end.
    _initialize_internal_kv(global_worker.gcs_client)


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system of a given size can be mounted here ({mounted.stderr.decode().strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def store() -> Iterator["ObjectStore"]:
    """An object store on this machine."""
    from tests.object_store import object_store

    with object_store() as there:
        yield there


@pytest.fixture
def bucket(store: "ObjectStore", monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket of it, and the store in this process's environment."""
    from tests.object_store import make_bucket

    return make_bucket(store, monkeypatch)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket in which 5 % of the calls fail."""
    from tests.object_store import make_bucket, object_store
    from tests.store_proxy import FAULTS

    with object_store(share_of_faults=SHARE_OF_FAULTS) as there:
        yield make_bucket(there, monkeypatch)
        counts = there.counts()
        num_faults = sum(counts.get(kind, 0) for kind in FAULTS)
        assert num_faults > 0.4 * SHARE_OF_FAULTS * counts["well"], counts


def pytest_itemcollected(item: pytest.Item) -> None:
    """Ray leaves sockets and files to the collector, and warns of its own next version."""
    if uses_ray(item.nodeid):
        item.add_marker(pytest.mark.filterwarnings("ignore"), append=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes the first has most of the tests that use Ray, and the second the other files, with
    those that train near the end. Of the last whoever is free takes the next: so both end together."""
    items.sort(key=lambda item: order_of(item.nodeid))


def order_of(nodeid: str) -> int:
    """When it is to begin."""
    for place, file in enumerate((*TRAININGS, LAST), start=2):
        if nodeid.startswith(file):
            return place
    return 0 if uses_ray(nodeid) else 1


def pytest_collection_finish() -> None:
    """What has been imported stays: to look through it as often as Python does would take a tenth of all."""
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What has nothing to do with Ray finds a process that is not connected."""
    if "ray" in sys.modules and not uses_ray(item.nodeid):
        sys.modules["ray"].shutdown()


def uses_ray(nodeid: str) -> bool:
    """Whether a test is of those that may start a Ray cluster: they live in two folders."""
    return nodeid.startswith(("tests/jobs/", "tests/distributed/"))


class OneProcessForRay(LoadScopeScheduling):
    """Of pytest-xdist's processes one has the tests that use Ray, whose workers take two CPUs, but for those
    that train. Tests of another file stay together, since they share its fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        is_one_file = nodeid.startswith(TRAININGS) or not uses_ray(nodeid)
        return nodeid.partition("::")[0] if is_one_file else "ray"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneProcessForRay:
    """With `-n`, whatever `--dist` says."""
    config.option.loadscopereorder = False  # in our own order
    return OneProcessForRay(config, log)
