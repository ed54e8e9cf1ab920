"""Commits to a table: one rule for all of them, which is that of optimistic transactions.

    choose files at a version -> write what replaces them -> commit against that version
                ^                                                       |
                +-------------- somebody has changed them ---------------+

A commit makes the next version after that at which its files were chosen, or fails: Delta's own check of what
came between (`max_commit_retries`) lets a removed file be removed again after a compaction. So whoever
commits beside it, a row is never there twice and never lost: what a table holds is what the commits that
succeeded give, one after the other.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from vbert.errors import UserError
from vbert.storage.ahead import ahead
from vbert.storage.files import (
    FIXES,
    MAX_TRIES,
    errno_of,
    filesystem_of,
    patient,
    refusal,
    retry_seconds,
)
from vbert.tables.delta import Table
from vbert.tables.log import refused
from vbert.tables.parquet_files import FILES_AT_ONCE, NewFile
from vbert.tables.pins import is_safe
from vbert.tables.schemas import TableSchema

Rewrite = Callable[[Sequence[str]], Iterable[NewFile | None]]
COMMIT_ID = "vbert.commit"  # in Delta's log: which commit it is, for a job whose answer got lost
MAX_CHOICES = 20  # compaction comes by once an hour, and changes a file once


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a commit does to the files of a partition, chosen at a version."""

    added: Sequence[NewFile]
    removed: Sequence[str]
    changes_data: bool


class Superseded(Exception):
    """Another job has changed the files that a commit is about; there is nothing left to do with them."""


class Committer:
    """Commits to one partition of a table, in numbered commits of which each lands once.

    The number of the last commit lies in the table (a Delta application transaction). It is compared at each
    commit: another job that writes to the same partition at the same time is noticed and named. Compaction
    is no such job: it changes no row, so it has no number, and both go on beside each other.
    """

    def __init__(self, table: Table, *, partition: str) -> None:
        self.table = table
        self.partition = partition
        self._app_id = f"vbert/{partition}"
        delta = table.open()
        self._last = self._number(delta)
        self._last_is_of = delta.version()  # at which version that number was seen

    def commit(
        self, files: Sequence[NewFile], *, drop: Collection[str] = (), rewrite: Rewrite | None = None
    ) -> int:
        """Add `files` and drop every earlier row of the videos `drop`, at once; return the new version.

        `rewrite` maps paths to `rewrite_without` of each, for instance on other machines; here by default. It
        is asked again, for other paths, if compaction changes the files meanwhile.
        """
        rewritten: dict[str, NewFile | None] = {}

        def choose(delta: DeltaTable) -> Change | None:
            self._refuse_company(delta)
            old = self.table.paths_with(drop, partition=self.partition, at=delta)
            if new := [path for path in old if path not in rewritten]:
                rewritten.update(zip(new, (rewrite or self._rewrite_here(drop))(new), strict=True))
            kept = [file for path in old if (file := rewritten[path]) is not None]
            if not files and not old:
                return None
            return Change(added=[*files, *kept], removed=old, changes_data=True)

        return self._numbered(choose)

    def clear(self) -> int:
        """Drop all rows of the partition; return the new version."""

        def choose(delta: DeltaTable) -> Change | None:
            self._refuse_company(delta)
            old = self.table.paths(partition=self.partition, at=delta)
            return Change(added=[], removed=old, changes_data=True) if old else None

        return self._numbered(choose)

    def _numbered(self, choose: Callable[[DeltaTable], Change | None]) -> int:
        """The version that the next of this job's commits makes, or the newest where it has nothing to do."""
        version, is_made = self._transact(choose, number=Transaction(self._app_id, self._last + 1))
        if is_made:
            self._last, self._last_is_of = self._last + 1, version
        return version

    def compact(self, joined: Sequence[NewFile], *, instead_of: Sequence[str]) -> int | None:
        """Put `joined` files in place of those whose rows they hold; return the new version.

        No row changes, so other jobs go on. None, and nothing is done, if another job has changed one of the
        files since: the joined ones hold rows that are no longer the table's.
        """

        def choose(delta: DeltaTable) -> Change:
            if self._there(instead_of, delta) != set(instead_of):
                raise Superseded
            return Change(added=joined, removed=instead_of, changes_data=False)

        try:
            return self._transact(choose, number=None)[0]
        except Superseded:
            return None

    def note(self, look: Callable[[int], None]) -> None:
        """Make a commit that changes nothing, right after the version `look` was last called with."""

        def choose(delta: DeltaTable) -> Change:
            look(delta.version())
            return Change(added=[], removed=[], changes_data=False)

        self._transact(choose, number=None)

    def _transact(
        self, choose: Callable[[DeltaTable], Change | None], *, number: Transaction | None
    ) -> tuple[int, bool]:
        """Choose and commit until it is in the table; its version, and whether there was anything to do.

        A store may fail for a moment, before the commit or after it.
        """
        commit_id = uuid.uuid4().hex
        properties = CommitProperties(
            app_transactions=[number] if number else None,
            custom_metadata={COMMIT_ID: commit_id},
            max_commit_retries=0,
        )
        num_failures = 0
        for _ in range(MAX_CHOICES):
            delta = self.table.open()
            chosen_at = delta.version()
            try:
                change = choose(delta)
                if change is None:
                    return chosen_at, False
                # The next version after that at which the files were chosen, which `delta` still is.
                self.table.log.commit(self._actions(change, delta, chosen_at), self.table.layout, properties)
            except Exception as error:
                if not refused(error):
                    raise
                if (landed := self._landed(commit_id, since=chosen_at)) is not None:
                    return landed, True
                if self._is_outdated(error, chosen_at):
                    continue
                if errno_of(error) in FIXES:  # a full disk does not pass
                    raise refusal(self.table.uri, error, cannot="be committed to") from error
                num_failures += 1
                if num_failures == MAX_TRIES:
                    raise
                time.sleep(retry_seconds(num_failures))
            else:
                return chosen_at + 1, True
        raise UserError(
            f"{self.table.uri}: other jobs changed its files {MAX_CHOICES} times while this one chose from "
            "them; let them end, then run this one again"
        )

    def _is_outdated(self, error: Exception, chosen_at: int) -> bool:
        """Whether others' commits are the reason: they came before this one, or took away a file that it was
        to read, which a vacuum deletes while this job sleeps for long."""
        return isinstance(error, CommitFailedError) or self.table.version() != chosen_at

    def _actions(self, change: Change, delta: DeltaTable, chosen_at: int) -> list[AddAction | RemoveAction]:
        """As Delta wants them. What would break the table is found here, and not by its next reader."""
        assert delta.version() == chosen_at, "the table was opened anew between choice and commit"
        assert self._there(change.removed, delta) == set(change.removed), (
            "a file is removed that is not there"
        )
        assert not self._there([file.path for file in change.added], delta), "a file is added twice"
        self._refuse_endangered(change.added)
        added = [_add(file, self.table.layout, changes_data=change.changes_data) for file in change.added]
        removed = [
            _remove(path, self.table.layout, self.partition, changes_data=change.changes_data)
            for path in change.removed
        ]
        return [*added, *removed]

    def _there(self, paths: Sequence[str], delta: DeltaTable) -> set[str]:
        return self.table.which_are_there(paths, partition=self.partition, at=delta)

    def _refuse_endangered(self, added: Sequence[NewFile]) -> None:
        """UserError if a file has gone since it was written, or may go any moment: no commit may name it."""
        filesystem, root = filesystem_of(self.table.uri)

        @patient
        def written_at(file: NewFile) -> datetime | None:
            try:
                found: datetime = filesystem.modified(f"{root}/{file.path}")
            except FileNotFoundError:
                return None
            return found

        times: list[tuple[datetime, str]] = []
        found = ahead(written_at, added, num_threads=FILES_AT_ONCE)
        for file, written in zip(added, found, strict=True):
            if written is None:
                raise UserError(
                    f"{self.table.uri}/{file.path}: was deleted before it could be committed; run this job "
                    "again, and compact_tables with a longer --retention-hours"
                )
            times.append((written, file.path))
        if not times:
            return
        oldest, path = min(times)  # where it is safe, all are, and pins are read once
        if not is_safe(self.table.root, written_at=oldest.timestamp()):
            raise UserError(
                f"{self.table.uri}/{path}: waits for its commit since {oldest:%Y-%m-%d %H:%M} UTC; this job "
                "stood still meanwhile, and compact_tables may delete it: run it again"
            )

    def _refuse_company(self, delta: DeltaTable) -> None:
        if (
            delta.version() == self._last_is_of
        ):  # the number takes a request for each of the log's last commits
            return
        if (number := self._number(delta)) != self._last:
            raise UserError(
                f"{self.table.uri}: another job is committing {self.partition} (its commit {number}, "
                f"ours would be {self._last + 1}); let it end, then run this one again"
            )
        self._last_is_of = delta.version()

    @patient
    def _landed(self, commit_id: str, *, since: int) -> int | None:
        """The version that a commit made, if it is in the log: its answer may have got lost."""
        newest = self.table.open()
        if not (num_newer := newest.version() - since):
            return None
        for entry in newest.history(num_newer):
            if entry.get(COMMIT_ID) == commit_id:
                return int(entry["version"])
        return None

    def _rewrite_here(self, drop: Collection[str]) -> Rewrite:
        return lambda paths: [
            self.table.rewrite_without(path, drop, partition=self.partition) for path in paths
        ]

    @patient
    def _number(self, delta: DeltaTable) -> int:
        return delta.transaction_version(self._app_id) or 0


def _now_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _add(file: NewFile, layout: TableSchema, *, changes_data: bool) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.size_bytes,
        partition_values={layout.partition: file.partition},
        modification_time=_now_milliseconds(),
        data_change=changes_data,
        stats=file.stats,
    )


def _remove(path: str, layout: TableSchema, partition: str, *, changes_data: bool) -> RemoveAction:
    return RemoveAction(
        path=path,
        data_change=changes_data,
        deletion_timestamp=_now_milliseconds(),
        partition_values={layout.partition: partition},
    )
