"""What its processes leave to Python's collector."""

import atexit
import gc
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

# Whoever registers first is called last.
CODE = """import atexit, gc
gc.set_threshold({}, 5, 5)
atexit.register(lambda: print(gc.get_freeze_count()))
import ray, vbert.distributed
print(gc.get_threshold())
"""


@pytest.mark.parametrize(("before", "after"), [(700, "(10000, 10, 10)"), (50_000, "(50000, 5, 5)")])
def test_who_lets_more_objects_come_before_a_look_is_left_alone(before: int, after: str):
    """And of a driver all goes before it ends."""
    said = subprocess.run([sys.executable, "-c", CODE.format(before)], capture_output=True, check=True)
    assert said.stdout.decode() == f"{after}\n0\n"


class Worker:
    """Notes as the last thing what its collector does not look through."""

    def __init__(self, file: str) -> None:
        atexit.register(lambda: Path(file).write_text(str(gc.get_freeze_count())))

    def import_it(self) -> None:
        """As an actor of ours does before it begins."""
        import vbert.distributed  # noqa: F401


@pytest.mark.slow
def test_what_a_worker_has_imported_is_not_looked_through_as_it_ends(joined: None, tmp_path: Path):
    worker = ray.remote(Worker).remote(str(tmp_path / "frozen"))
    ray.get(worker.import_it.remote())
    del worker
    deadline = time.monotonic() + 30
    while not (tmp_path / "frozen").exists() or not (count := (tmp_path / "frozen").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert int(count) > 10_000
