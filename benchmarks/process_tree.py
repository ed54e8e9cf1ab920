"""What a process and all below it use, watched from outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

WATCH_SECONDS = 0.2


@dataclass
class Use:
    """Of the children of this process, all of them together."""

    peak_megabytes: float = 0.0
    """At once; what they share is counted once."""
    read_of: dict[tuple[int, float], int] = field(default_factory=dict)
    """Process and its start -> bytes that it has read when it was last seen (`rchar` of Linux's /proc: of
    files and pipes, whether a disk was asked or not)."""

    @property
    def read_megabytes(self) -> float:
        """A process that ended and was waited for counts in its parent's, too: an upper limit."""
        return sum(self.read_of.values()) / 1e6

    def look(self) -> None:
        """At those that are there."""
        total = 0
        for process in psutil.Process().children(recursive=True):
            try:
                self.read_of[process.pid, process.create_time()] = process.io_counters().read_chars
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.peak_megabytes = max(self.peak_megabytes, total / 1e6)


@contextmanager
def watched() -> Iterator[Use]:
    """Around what starts processes."""
    use, is_over = Use(), threading.Event()

    def watch() -> None:
        while not is_over.wait(WATCH_SECONDS):
            use.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield use
    finally:
        is_over.set()
        thread.join()
