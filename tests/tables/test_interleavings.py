"""Jobs on one table, interleaved at every point where one of them waits for the store, and killed there.

Each job runs in a thread of its own that goes on only when it is told to; hypothesis says which is next, and
which dies. Whatever the order, the table holds at every version what the commits up to there give, one after
the other.
"""

import itertools
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from deltalake import CommitProperties
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.table_rows import compact, feature_rows
from vbert.errors import UserError
from vbert.tables import clustering, commits, delta
from vbert.tables.commits import COMMIT_ID, Committer
from vbert.tables.delta import Table
from vbert.tables.log import Log
from vbert.tables.schemas import FEATURES, TableSchema
from vbert.tables.vacuum import vacuum

NUM_INTERLEAVINGS = int(os.environ.get("VBERT_TEST_INTERLEAVINGS", "50"))
PARTITION = "f-1"
VIDEOS = "abcd"
REFUSALS = ("another job is committing", "was deleted before it", "waits for its commit since")

Actions = Iterator[None]


class Killed(BaseException):
    """As a process dies: nothing of ours catches it."""


@dataclass(frozen=True)
class Effect:
    """What a commit is to do to the table."""

    dropped: str = ""
    put: Mapping[str, str] | None = None  # video -> fingerprint


class Job(threading.Thread):
    """Runs `work` up to its next wait whenever it is told to go on."""

    current = threading.local()

    def __init__(self, work: Callable[["Job"], None]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.effect = Effect()
        self.error: Exception | None = None
        self.is_over = False
        self._order = ""
        self._told, self._waits = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        Job.current.job = self
        try:
            self.wait()
            self.work(self)
        except Killed:
            pass
        except UserError as error:
            if not any(said in str(error) for said in REFUSALS):
                self.error = error
        except Exception as error:  # noqa: BLE001 (told by the test)
            self.error = error
        finally:
            self.is_over = True
            self._waits.release()

    def wait(self) -> str:
        """Of this thread: until it is told what happens next."""
        self._waits.release()
        self._told.acquire()
        if self._order == "kill":
            raise Killed
        return self._order

    def go(self, order: str) -> None:
        """Of the test: let it run up to its next wait, or its end."""
        self._order = order
        self._told.release()
        self.until_it_waits()

    def until_it_waits(self) -> None:
        assert self._waits.acquire(timeout=60), "it hangs"


def waiting(function: Callable[..., Any], *, can_lose_answer: bool = False) -> Callable[..., Any]:
    """`function`, before and after which its job waits; the answer may get lost on its way."""

    def wait_and_call(*arguments: Any, **options: Any) -> Any:
        job = getattr(Job.current, "job", None)
        if job is None:
            return function(*arguments, **options)
        job.wait()
        answer = function(*arguments, **options)
        if job.wait() == "lose" and can_lose_answer:
            raise OSError("the connection was closed")
        return answer

    return wait_and_call


@contextmanager
def waits(effects: dict[str, Effect]) -> Iterator[None]:
    """Every job waits around what reads or writes the store; `effects` says what each commit was for."""

    commit = Log.commit

    def noted(self: Log, actions: list[Any], layout: TableSchema, properties: CommitProperties) -> None:
        effects[properties.custom_metadata[COMMIT_ID]] = Job.current.job.effect
        commit(self, actions, layout, properties)

    with ExitStack() as patches:
        for owner, name in (
            (Table, "open"),
            (Table, "paths_with"),
            (delta, "write_parquet"),
            (clustering, "write_parquet"),
            (Committer, "_actions"),
        ):
            patches.enter_context(patch.object(owner, name, waiting(getattr(owner, name))))
        patches.enter_context(patch.object(Log, "commit", waiting(noted, can_lose_answer=True)))
        patches.enter_context(patch.object(commits, "retry_seconds", lambda attempt: 0.0))
        yield


def writer(
    root: str, numbers: Iterator[int], changes: list[tuple[str, str]], *, compacts: bool = False
) -> Callable[[Job], None]:
    """A job that, for each change, puts new rows of some videos in place of theirs and drops others; and
    joins files as it goes."""

    def work(job: Job) -> None:
        table = Table(root, FEATURES)
        committer = Committer(table, partition=PARTITION)
        for put, dropped in changes:
            made = {video: f"{next(numbers)}" for video in put}
            job.effect = Effect(dropped=put + dropped, put=made)
            rows = [feature_rows(video, segments=1, fingerprint=made[video]) for video in put]
            committer.commit([table.write_file(one) for one in rows], drop=put + dropped)
            if compacts:
                job.effect = Effect()
                compact(table, partition=PARTITION, committer=committer)

    return work


def compactor(root: str) -> Callable[[Job], None]:
    """As compact_tables does."""

    def work(job: Job) -> None:
        compact(Table(root, FEATURES), partition=PARTITION)

    return work


def vacuumer(root: str) -> Callable[[Job], None]:
    """All that waits for its commit is as old as if it had waited for two hours."""

    def work(job: Job) -> None:
        table = Table(root, FEATURES)
        for path in Path(table.uri).rglob("part-*.parquet"):
            os.utime(path, (0, 0))
        vacuum(table, retention_hours=1)

    return work


def rows_of(table: Table, version: int) -> list[tuple[str, str]]:
    rows = table.read(columns=["video_id", "fingerprint"], partition=PARTITION, version=version)
    return sorted(zip(rows["video_id"].to_pylist(), rows["fingerprint"].to_pylist(), strict=True))


def check_history(root: str, effects: Mapping[str, Effect]) -> int:
    """Every version is what the commits up to it give; how many there are."""
    table = Table(root, FEATURES)
    expected: dict[str, str] = {}
    for entry in sorted(table.open().history(), key=lambda entry: entry["version"]):
        effect = effects.get(entry.get(COMMIT_ID, ""), Effect())
        expected = {video: made for video, made in expected.items() if video not in effect.dropped}
        expected |= effect.put or {}
        assert rows_of(table, entry["version"]) == sorted(expected.items()), f"version {entry['version']}"
    return table.version()


changes = st.lists(
    st.tuples(st.sets(st.sampled_from(VIDEOS)), st.sets(st.sampled_from(VIDEOS))), min_size=1, max_size=2
)
writers = st.lists(
    changes.map(lambda found: [("".join(sorted(put)), "".join(sorted(drop - put))) for put, drop in found]),
    min_size=1,
    max_size=2,
)


def interleave(data: st.DataObject, root: str, *, has_vacuum: bool = True) -> int:
    """Run some jobs in some order, and check what is left; how many commits were made."""
    numbers = itertools.count()
    effects: dict[str, Effect] = {}
    Table(root, FEATURES).create()
    works = [writer(root, numbers, found, compacts=data.draw(st.booleans())) for found in data.draw(writers)]
    works += [compactor(root)] * data.draw(st.integers(1, 2))
    works += [vacuumer(root)] * (has_vacuum and data.draw(st.integers(0, 1)))
    first = Job(writer(root, numbers, [("a", ""), ("b", ""), ("c", "")]))
    with waits(effects):
        first.start()
        first.until_it_waits()
        while not first.is_over:
            first.go("go")
        jobs = [Job(work) for work in works]
        for job in jobs:
            job.start()
            job.until_it_waits()
        orders = st.sampled_from(["go"] * 30 + ["lose"] * 3 + ["kill"])
        while running := [job for job in jobs if not job.is_over]:
            # Some steps of one, then of another: few orders of single steps let a whole commit happen
            # between another's choice and its commit.
            job = data.draw(st.sampled_from(running), label="job")
            for _ in range(data.draw(st.integers(1, 12), label="steps")):
                if not job.is_over:
                    job.go(data.draw(orders, label="order"))
    for job in [first, *jobs]:
        job.join()
        if job.error:
            raise job.error
    return check_history(root, effects)


@pytest.mark.seconds(45)
@settings(
    max_examples=NUM_INTERLEAVINGS,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    phases=[Phase.generate],  # to shrink one takes minutes
)
@given(st.data())
def test_whatever_the_order_a_table_holds_what_its_commits_give(data: st.DataObject):
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as root:
        interleave(data, root)


@pytest.mark.slow
@pytest.mark.seconds(60)
@settings(
    max_examples=max(1, NUM_INTERLEAVINGS // 10),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
    phases=[Phase.generate],
)
@given(st.data())
def test_so_does_a_table_in_a_bucket(bucket: str, data: st.DataObject):
    root = f"{bucket}/{uuid.uuid4().hex}"
    interleave(data, root, has_vacuum=False)  # nothing in a bucket can be made old
