"""The Ray cluster that a job runs on: joined where there is one, else started on this machine."""

import atexit
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from functools import cache
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import AuthenticationError
from ray.util.annotations import RayDeprecationWarning

from vbert.errors import UserError, one_line
from vbert.progress import Progress
from vbert.tables.commits import Rewrite
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import TableSchema

LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"
ENDED_FROM_OUTSIDE = (
    "error: this job was ended from outside: the Ray node that it was connected to has gone away, or was "
    "killed; what was committed is kept, and the same command goes on from there"
)
COMMIT_SECONDS = 20.0  # a job that is killed does again what it did in them


def connect(*, training: bool = False) -> None:
    """Join the cluster that `ray job submit` or RAY_ADDRESS names, or start one here that ends with this
    process; twice does no harm. What else runs on this machine is not joined unasked.

    For training the lines of the workers are shown, since the first of them tells of the progress.
    """
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # it prints every line twice
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS") or "local"
        _tell_if_ended_from_outside()
        try:
            with nullcontext() if training else _silent_core():
                ray.init(
                    address=address,
                    # A process that takes seconds to start; None is as the cluster has it.
                    include_dashboard=False if address == "local" else None,
                    logging_level=logging.ERROR,
                    # What workers print is in Ray's logs; what fails comes as an exception or a row.
                    log_to_driver=training,
                )
        except (ConnectionError, AuthenticationError) as error:
            raise UserError(_not_joined(address, error)) from error


@cache
def quiet_data() -> None:
    """Before Ray Data is used: ours is one line of progress with an estimate, which its bars would drown."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it raises it need not print, too
    # How often work is done again has no other place in Ray Data yet.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", RayDeprecationWarning)


def _not_joined(address: str, error: Exception) -> str:
    """One line about a cluster that does not let this job in; Ray says the same of a missing token and of a
    cluster that is not there."""
    said = one_line(error).partition(". ")[0]
    is_told = os.environ.get("RAY_AUTH_MODE") == "token"
    what = "the right token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
    return (
        f"RAY_ADDRESS {address}: cannot be joined ({said}); is a cluster up there, and does this job have "
        f"{what if is_told else f'its token (RAY_AUTH_MODE=token and {what})'}?"
    )


@contextmanager
def _silent_core() -> Iterator[None]:
    """Around `ray.init`: Ray's core is not to warn of every actor of Ray Data's that it may restart, and not
    to print the line which says that it has been told so. (Trainings have no such actors, and show what
    their workers print, each of which would say that line.)"""
    if LOG_LEVEL in os.environ:
        yield
        return
    os.environ[LOG_LEVEL] = "fatal"
    sys.stderr.flush()
    shown, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nowhere)
        del os.environ[LOG_LEVEL]


@cache
def _tell_if_ended_from_outside() -> None:
    """Start a process that says so if this one ends without a word: Ray's core ends a driver, with status 1,
    when the node that it is connected to goes away."""
    word = subprocess.Popen(
        ["/bin/sh", "-c", f"read -r word || echo '{ENDED_FROM_OUTSIDE}' >&2"], stdin=subprocess.PIPE
    )
    assert word.stdin is not None
    atexit.register(word.communicate, b"ended by itself\n")


def blocks_as_they_come(dataset: "ray.data.Dataset") -> Iterator[pa.Table]:
    """Run `dataset`; each block as soon as it is done."""
    blocks: Iterable[pa.Table] = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
    yield from blocks


def in_commits(written: Iterable[pa.Table], progress: Progress) -> Iterator[list[dict[str, Any]]]:
    """Of rows that tell of files which were written (`file_of`), those of each COMMIT_SECONDS together."""
    waiting: list[dict[str, Any]] = []
    last_seconds = time.monotonic()
    for block in written:
        rows = block.to_pylist()
        waiting += rows
        progress.advance(sum(row["num_rows"] for row in rows))
        if time.monotonic() - last_seconds >= COMMIT_SECONDS:
            yield waiting
            waiting, last_seconds = [], time.monotonic()
    yield waiting
    progress.finish()


def file_of(row: Mapping[str, Any]) -> NewFile:
    """What a row of such a dataset says of the file itself."""
    return NewFile(**{part.name: row[part.name] for part in fields(NewFile)})


class RewriteOnWorkers:
    """Rewrites a table's files without some videos, on the cluster: no feature passes through the driver."""

    def __init__(self, root: str, layout: TableSchema, *, partition: str) -> None:
        table = Table(root, layout)

        # No CPU asked for: the job's own actors may hold them all until this commit has been made.
        @ray.remote(num_cpus=0)
        def rewrite_one(path: str, dropped: frozenset[str]) -> NewFile | None:
            return table.rewrite_without(path, dropped, partition=partition)

        self._rewrite_one = rewrite_one

    def __call__(self, video_ids: Collection[str]) -> Rewrite:
        """The function that `Committer.commit` takes."""

        def rewrite(paths: Collection[str]) -> list[NewFile | None]:
            connect()
            dropped = ray.put(frozenset(video_ids))
            found: list[NewFile | None] = ray.get([self._rewrite_one.remote(path, dropped) for path in paths])
            return found

        return rewrite
