"""Files of a table joined on workers, each group in a commit of its own, while jobs write to the table.

A commit looks at all files of a table: where they are few it is quick, however much they hold.
"""

from collections.abc import Sequence

import ray

from vbert.distributed.attempts import task_retries
from vbert.tables.clustering import SHARD_BYTES, join_files, small_neighbours
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile, StoredFile

MAX_SMALL_FILES = 1_024  # of a partition; 312 files of an actor make a shard


class Joins:
    """Groups of files that are joined at the same time."""

    def __init__(self, *, target_bytes: int, num_cpus: float) -> None:
        """`num_cpus` is what Ray is asked for, for each group."""
        self._running: dict[ray.ObjectRef[list[NewFile]], tuple[Committer, Sequence[StoredFile]]] = {}

        @ray.remote(num_cpus=num_cpus, scheduling_strategy="SPREAD", **task_retries())
        def join(table: Table, partition: str, group: Sequence[StoredFile]) -> list[NewFile]:
            try:
                return join_files(table, group, partition=partition, target_bytes=target_bytes)
            except FileNotFoundError:  # deleted by another compaction
                return []

        self._join = join

    def __len__(self) -> int:
        """Groups that are not committed yet."""
        return len(self._running)

    def begin(self, committer: Committer, group: Sequence[StoredFile]) -> None:
        """Join files of the committer's partition."""
        ref = self._join.remote(committer.table, committer.partition, group)
        self._running[ref] = committer, group

    def commit_one(self, *, timeout: float | None = None) -> tuple[Sequence[StoredFile], int] | None:
        """Wait for a group and put its shards in place of its files: the group, and how many shards; none of
        one that another job has changed meanwhile. None: none is ready after `timeout` seconds."""
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout)
        if not ready:
            return None
        committer, group = self._running.pop(ready[0])
        shards = ray.get(ready[0])
        paths = [file.path for file in group]
        is_made = shards and committer.compact(shards, instead_of=paths) is not None
        return group, len(shards) if is_made else 0


class SmallFiles:
    """Those of a partition, which a job joins while it adds to them."""

    def __init__(self, committer: Committer, *, num_cpus: float) -> None:
        self._committer = committer
        self._joins = Joins(target_bytes=SHARD_BYTES, num_cpus=num_cpus)

    def join(self) -> None:
        """After a commit: commit what has been joined, and begin again when there are many."""
        while self._joins and self._joins.commit_one(timeout=0):
            pass
        table, partition = self._committer.table, self._committer.partition
        if self._joins or table.num_small_files(SHARD_BYTES, partition=partition) < MAX_SMALL_FILES:
            return
        for group in small_neighbours(table, partition=partition, target_bytes=SHARD_BYTES):
            self._joins.begin(self._committer, group)

    def finish(self) -> None:
        """After the last commit: join for the last time, and wait for it."""
        self.join()
        while self._joins:
            self._joins.commit_one()
