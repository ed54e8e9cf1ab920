"""What a person sees of a job: a line of progress with an estimate while it runs, a summary at its end."""

import sys
import time
from collections.abc import Mapping
from typing import TextIO


def duration_text(seconds: float) -> str:
    """90.4 -> '1:30', 3725 -> '1:02:05'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Counts work done against a total and prints a line now and then.

    On a terminal the line is rewritten in place; in a log (`ray job submit`) it comes every ten seconds.
    """

    def __init__(self, name: str, *, total: int, unit: str, stream: TextIO | None = None) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self._stream = stream or sys.stderr
        self._in_place = self._stream.isatty()
        self._start_seconds = self._last_seconds = time.monotonic()
        self._first_seconds: float | None = None  # when the first work was done: workers have started
        self._done_at_first = 0

    def resume(self, done: int) -> None:
        """Count work that an earlier run has done; it is no part of the rate."""
        self.done = done

    def advance(self, count: int, *, note: str = "") -> None:
        """`count` more units are done; `note` is said behind the estimate."""
        now = time.monotonic()
        self.done += count
        if self._first_seconds is None and count:
            self._first_seconds, self._done_at_first = now, self.done
        if now - self._last_seconds >= (0.5 if self._in_place else 10.0):
            self._last_seconds = now
            self._print(self.line(now, note=note), end="\r" if self._in_place else "\n")

    def line(self, now: float, *, note: str = "") -> str:
        """`featurize: 120/300 clips (40 %), 12.5/s, 0:14 left`."""
        share = self.done / self.total if self.total else 1.0
        text = f"{self.name}: {self.done:,}/{self.total:,} {self.unit} ({share:.0%})"
        rate = self._rate(now)
        if rate > 0:
            text += f", {rate:.1f}/s, {duration_text((self.total - self.done) / rate)} left"
        return f"{text}, {note}" if note else text

    def _rate(self, now: float) -> float:
        """Units a second since the first were done: the start of the workers is no measure of the rest."""
        if self._first_seconds is None or now <= self._first_seconds:
            return 0.0
        return (self.done - self._done_at_first) / (now - self._first_seconds)

    def finish(self) -> float:
        """End the line; return the seconds since the start."""
        if self._in_place:
            self._print(" " * 100, end="\r")
        return time.monotonic() - self._start_seconds

    def _print(self, text: str, *, end: str) -> None:
        print(f"{text:<100}" if end == "\r" else text, end=end, file=self._stream, flush=True)


def size_text(num_bytes: float) -> str:
    """`12.3 MB`: bytes as people read them, 1,000 to a kilobyte."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} TB"


def print_summary(title: str, facts: Mapping[str, object]) -> None:
    """A short table at a job's end: what was done, skipped and failed, how fast, where the output is."""
    width = max(len(name) for name in facts)
    print(f"\n{title}")
    for name, value in facts.items():
        print(f"  {name:<{width}}  {value:,}" if isinstance(value, int) else f"  {name:<{width}}  {value}")
    sys.stdout.flush()
