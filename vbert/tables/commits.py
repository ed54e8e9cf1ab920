"""Commits to a table: numbered, each of them once, and never beside another job's.

Files are written before (`tables`); with a commit they and the rows that they replace change places at once.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from vbert.errors import UserError
from vbert.storage.files import FIXES, MAX_TRIES, errno_of, patient, refusal, retry_seconds
from vbert.tables.delta import NewFile, Table
from vbert.tables.schemas import TableSchema

Rewrite = Callable[[Sequence[str]], Iterable[NewFile | None]]


class Committer:
    """Commits to one partition of a table, in numbered commits of which each lands once.

    The number of the last commit lies in the table (a Delta application transaction). Delta accepts the same
    number twice, so it is read back before each commit: another job that commits to the same partition at
    the same time is noticed and named.
    """

    def __init__(self, table: Table, *, partition: str) -> None:
        self.table = table
        self.partition = partition
        self._app_id = f"vbert/{partition}"
        self._last = self._number(table.open())

    def commit(
        self, files: Sequence[NewFile], *, drop: Collection[str] = (), rewrite: Rewrite | None = None
    ) -> int:
        """Add `files` and drop every earlier row of the videos `drop`, at once; return the new version.

        `rewrite` maps paths to `rewrite_without` of each, for instance on other machines; here by default.
        """
        old_paths = self.table.paths_with(drop, partition=self.partition)
        rewritten = (rewrite or self._rewrite_here(drop))(old_paths) if old_paths else []
        added = [*files, *(file for file in rewritten if file is not None)]
        if not added and not old_paths:
            return self.table.version()
        number = Transaction(self._app_id, self._last + 1)
        version = self._write(added, old_paths, changes_data=True, number=number)
        self._last += 1
        return version

    def compact(self, joined: Sequence[NewFile], *, instead_of: Sequence[str]) -> int:
        """Put `joined` files in place of those whose rows they hold. No row changes, so other jobs go on."""
        return self._write(joined, instead_of, changes_data=False, number=None)

    def _write(
        self,
        added: Sequence[NewFile],
        removed: Sequence[str],
        *,
        changes_data: bool,
        number: Transaction | None,
    ) -> int:
        """Try until it is in the table: a store may fail for a moment, before the commit or after it."""
        layout = self.table.layout
        actions: list[AddAction | RemoveAction] = [
            _add(file, layout, changes_data=changes_data) for file in added
        ]
        actions += [_remove(path, layout, self.partition, changes_data=changes_data) for path in removed]
        properties = CommitProperties(app_transactions=[number] if number else None)
        for attempt in range(1, MAX_TRIES + 1):
            # What is written is checked against this state: whoever commits in between is a conflict.
            delta = self.table.open()
            if number:
                self._refuse_company(delta)
            try:
                delta.create_write_transaction(
                    actions,
                    mode="append",
                    schema=layout.schema,
                    partition_by=[layout.partition],
                    commit_properties=properties,
                )
            except (OSError, DeltaError) as error:
                if self._has(added, removed):
                    break
                if isinstance(error, CommitFailedError):
                    raise UserError(
                        f"{self.table.uri}: changed by another job at the same time ({error}); run this one "
                        "again"
                    ) from error
                if errno_of(error) in FIXES:  # a full disk does not pass
                    raise refusal(self.table.uri, error, cannot="be committed to") from error
                if attempt == MAX_TRIES:
                    raise
                time.sleep(retry_seconds(attempt))
            else:
                break
        return self.table.version()

    def _refuse_company(self, delta: DeltaTable) -> None:
        if (number := self._number(delta)) != self._last:
            raise UserError(
                f"{self.table.uri}: another job is committing {self.partition} (its commit {number}, "
                f"ours would be {self._last + 1}); let it end, then run this one again"
            )

    def _has(self, added: Sequence[NewFile], removed: Sequence[str]) -> bool:
        """Whether a commit whose answer was lost has been made: the names of files are never used again."""
        there = set(self.table.paths(partition=self.partition))
        return {file.path for file in added} <= there and there.isdisjoint(removed)

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
