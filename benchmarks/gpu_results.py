"""What the parts of benchmarks/gpu.py share: a file of results, and how long something takes on a GPU."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vbert.errors import UserError

LAST_START_SECONDS = 360.0  # nothing is begun later: what compiles takes a minute or two


class Results:
    """Lines of JSON objects, written anew with each: what was measured stands if the machine goes."""

    def __init__(self, file: Path) -> None:
        self.file, self.lines = file, list[dict[str, Any]]()
        self.start_seconds = time.monotonic()

    def add(self, **line: Any) -> None:
        """Print and write a line, with the seconds since the start."""
        self.lines.append(line | {"at_seconds": round(time.monotonic() - self.start_seconds, 1)})
        print(json.dumps(self.lines[-1]), flush=True)
        self.file.write_text(json.dumps(self.lines, indent=1))

    @contextmanager
    def part(self, **name: Any) -> Iterator[bool]:
        """A part that is not begun too late, and whose failure is a line and not the end. What it wants and
        the machine has not, a package or a GPU, is a reason to skip it."""
        is_late = time.monotonic() - self.start_seconds > LAST_START_SECONDS
        if is_late:
            self.add(**name, skipped="too late")
        try:
            yield not is_late
        except ModuleNotFoundError as error:
            self.add(**name, skipped=f"{error.name} is not installed")
        except UserError as error:
            self.add(**name, skipped=str(error))
        except Exception as error:  # noqa: BLE001 (the other parts are worth as much)
            said = str(error).splitlines() or [""]
            self.add(**name, failed=f"{type(error).__name__}: {said[0]}")


def per_second(run: Callable[[], object], *, seconds: float) -> float:
    """Calls a second, after three that warm up."""
    for _ in range(3):
        run()
    calls, start = 0, time.perf_counter()
    while calls == 0 or (time.perf_counter() - start) < seconds:
        run()
        calls += 1
    return calls / (time.perf_counter() - start)


def synchronize(device: torch.device) -> None:
    """Wait for a GPU to be done."""
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Whatever makes the CPU wait for the GPU is an error in here."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
