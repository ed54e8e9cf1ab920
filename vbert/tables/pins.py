"""Pins: what running jobs still need of the tables, so that `vacuum` keeps it.

A training pins the versions that it reads, from its first start to its end: also while nothing runs, between
a kill and the next start. A job that writes pins the time of its start, since what its workers have written
is in no version yet. Each pin is a small file in `<tables>/pins/`, renewed while its job runs; a job that
was killed leaves one, which expires. Files that wait longer than SAFE_SECONDS are committed under a pin only.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from vbert.storage.files import filesystem_of, names_in, read_small_file, write_json

FOLDER = "pins"
RENEWED_SECONDS = 300.0
HOUR = 3600.0
READER_HOURS = 7 * 24  # a training that was killed on Friday goes on next week
WRITER_HOURS = 2  # nobody goes on with a killed writer's files; it may stand still for an hour
LEAST_RETENTION_HOURS = 1  # vacuum takes no file that is younger, and so none that waits for its commit
SAFE_SECONDS = LEAST_RETENTION_HOURS * HOUR / 2  # the clocks of a store and of its writers differ


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A job, since when it runs, and what it needs. Times are seconds since 1970."""

    job: str
    """What it is and where its output goes, in a message's words."""
    since: float
    renewed: float
    hours: float
    """It expires so long after it was last renewed."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Of a table by its name."""


@contextmanager
def pinned(root: str, name: str, *, job: str, versions: Mapping[str, int] | None = None) -> Iterator[None]:
    """Around the work of a job on the tables in `root`.

    `name` is the same for a run that goes on, which has its first start's time. With `versions` the pin of a
    run that ends in an error stays: it may go on.
    """
    uri = f"{root.rstrip('/')}/{FOLDER}/{name}.json"
    before = _read(uri) if versions else None
    hours = READER_HOURS if versions else WRITER_HOURS
    renewed = time.time()
    since = before.since if before else renewed
    ended = threading.Event()

    def renew() -> None:
        nonlocal since, renewed
        now = time.time()
        if not versions and now - renewed > hours * HOUR:
            since = now  # it has stood still, and nothing kept what it had written before
        write_json(uri, asdict(Pin(job=job, since=since, renewed=now, hours=hours, versions=versions or {})))
        renewed = now  # and not where the store refused it: the pin may expire meanwhile

    def renew_again() -> None:
        while not ended.wait(RENEWED_SECONDS):
            with suppress(Exception):  # a store that fails for a moment: in five minutes, again
                renew()

    renew()
    thread = threading.Thread(target=renew_again, name="pin", daemon=True)
    thread.start()
    is_over = False
    try:
        yield
        is_over = True
    finally:
        ended.set()
        thread.join()
        if is_over or not versions:
            with suppress(Exception):  # it expires
                filesystem, path = filesystem_of(uri)
                filesystem.rm_file(path)


def pins(root: str) -> list[Pin]:
    """Those that have not expired. A file that is none is left out."""
    folder = f"{root.rstrip('/')}/{FOLDER}"
    found = [_read(f"{folder}/{name}") for name in names_in(folder) if name.endswith(".json")]
    now = time.time()
    return [pin for pin in found if pin and now - pin.renewed <= pin.hours * HOUR]


def protected_versions(root: str, table: str) -> list[int]:
    """The versions of a table that somebody reads, sorted."""
    return sorted({pin.versions[table] for pin in pins(root) if table in pin.versions})


def protected_hours(root: str) -> int:
    """How old, in hours rounded up, a file may be that a job has written and not committed yet."""
    return _hours_since(pin for pin in pins(root) if not pin.versions)


def is_safe(root: str, *, written_at: float) -> bool:
    """Whether no vacuum that runs can be about to delete an uncommitted file of that time (seconds since
    1970): it is young, or a job's pin has kept it ever since."""
    if time.time() - written_at <= SAFE_SECONDS:
        return True
    return any(not pin.versions and pin.since <= written_at for pin in pins(root))


def pinned_hours(root: str) -> int:
    """How long ago, in hours rounded up, the oldest pin was made; 0: there is none."""
    return _hours_since(pins(root))


def _hours_since(found: Iterable[Pin]) -> int:
    times = [pin.since for pin in found]
    return int((time.time() - min(times)) / HOUR) + 1 if times else 0


def _read(uri: str) -> Pin | None:
    try:
        facts: dict[str, Any] = json.loads(read_small_file(uri))
        return Pin(**facts)
    except (FileNotFoundError, ValueError, TypeError):
        return None
