"""The log of a table, which Delta reads and writes: in its place, or on a copy.

In a store Delta lists the log's folder at each look and gets each commit twice, 13 to 51 requests for a table
that is opened. So the log of a table in a store is copied to local disk as it grows, and Delta works there:

    newest sum -> the commits after it by their numbers, until one is not there
    a commit: Delta writes it into the copy -> it is put into the store, unless another has its number
"""

import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from vbert.storage.files import filesystem_of, is_stores, local_path, names_in, read_small_file, write_file
from vbert.tables.schemas import COMMITS_A_CHECKPOINT, TableSchema

FOLDER = "_delta_log"
NEWEST_SUM = "_last_checkpoint"  # a file with the number of the newest checkpoint
# A log's old commits are deleted after a month: nobody goes on from a copy as old as that.
COPY_SECONDS = 86_400.0


class Log:
    """That of a table in a folder."""

    _sums_up_itself = True  # Delta, after each COMMITS_A_CHECKPOINT

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._delta: DeltaTable | None = None

    def newest(self) -> DeltaTable:
        """The table at its newest version: one object, which each call brings up to date.

        Raises what Delta does, TableNotFoundError where there is none.
        """
        if self._delta is None:
            self._delta = DeltaTable(self.uri)
        else:
            self._delta.update_incremental()
        return self._delta

    def exists(self) -> bool:
        """Whether there is a table."""
        return bool(DeltaTable.is_deltatable(self.uri))

    def commit(
        self,
        actions: Sequence[AddAction | RemoveAction],
        layout: TableSchema,
        properties: CommitProperties,
    ) -> None:
        """Make the version after that which `newest` gave. Raises what `refused` is true of: where another
        has been made, and where a store fails, after which it may have been made."""
        assert self._delta is not None, "nothing has been chosen from it"
        with self._publishing():
            self._delta.create_write_transaction(
                list(actions),
                mode="append",
                schema=layout.schema,
                partition_by=[layout.partition],
                commit_properties=properties,
                post_commithook_properties=PostCommitHookProperties(create_checkpoint=self._sums_up_itself),
            )

    def _publishing(self) -> AbstractContextManager[None]:
        """Around what Delta writes of a commit, which is then to be seen by all."""
        return nullcontext()

    def sum_up(self) -> None:
        """Make a checkpoint of the newest version: who opens the table next reads no commit before it."""
        self.newest().create_checkpoint()


class CopiedLog(Log):
    """That of a table in a store."""

    _sums_up_itself = False

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._copy = Path()  # made when it is looked at
        self._next = 0  # the first commit that the copy lacks
        self._summed_up = 0  # the commits in its checkpoint
        self._looked_at = 0.0  # seconds since 1970

    def newest(self) -> DeltaTable:
        """As of a folder's; also the errors of a store."""
        if time.time() - self._looked_at > COPY_SECONDS:
            self._begin()
        while self._fetch(_commit(self._next)):
            self._next += 1
        if self._next == 0:
            raise TableNotFoundError(f"no log in {self.uri}")
        self._looked_at = time.time()
        if self._delta is None:
            self._delta = DeltaTable(str(self._copy.parent))
        else:
            self._delta.update_incremental()
        return self._delta

    def exists(self) -> bool:
        """Whether there is a table."""
        try:
            self.newest()
        except TableNotFoundError:
            return False
        return True

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        """Put what Delta has written into the store."""
        name = _commit(self._next)
        try:
            yield
            filesystem, path = filesystem_of(f"{self.uri}/{FOLDER}/{name}")
            filesystem.pipe_file(path, (self._copy / name).read_bytes(), mode="create")
        except BaseException:
            (self._copy / name).unlink(missing_ok=True)  # what the store has of that number counts
            self._delta = None
            raise
        self._next += 1
        if self._next - self._summed_up >= COMMITS_A_CHECKPOINT:
            self._sum_up()

    def sum_up(self) -> None:
        """As in a folder, unless it has been made."""
        self.newest()
        if self._next > self._summed_up:
            self._sum_up()

    def _sum_up(self) -> None:
        """Put a checkpoint into the store; where it refuses, another will."""
        assert self._delta is not None
        self._delta.update_incremental()  # it is at the version before
        self._delta.create_checkpoint()
        try:
            for name in (_checkpoint(self._next - 1), NEWEST_SUM):
                write_file(f"{self.uri}/{FOLDER}/{name}", (self._copy / name).read_bytes())
        except Exception as error:
            if not is_stores(error):
                raise
        self._summed_up = self._next

    def _begin(self) -> None:
        """Copy the newest checkpoint, else the first commit. Where neither is found, as of a log that others
        sum up or have cut off, its folder is listed."""
        root = Path(tempfile.mkdtemp(prefix="vbert-log-"))
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        self._copy = root / FOLDER
        self._copy.mkdir()
        self._delta = None
        self._next = self._after_newest_sum() or int(self._fetch(_commit(0))) or self._after_listed_sum()
        self._summed_up = self._next

    def _after_newest_sum(self) -> int:
        """The number of commits in the checkpoint that the log names; 0 without one."""
        if self._fetch(NEWEST_SUM):
            with suppress(ValueError, KeyError, TypeError):
                newest = int(json.loads((self._copy / NEWEST_SUM).read_bytes())["version"])
                if self._fetch(_checkpoint(newest)):
                    self._fetch(_commit(newest))  # without any commit Delta (1.6) reads, and makes none
                    return newest + 1
        return 0

    def _after_listed_sum(self) -> int:
        """The same of the newest one, in however many files, that lies in the folder."""
        names = [name for name in names_in(f"{self.uri}/{FOLDER}") if ".checkpoint." in name]
        newest = max((name.partition(".")[0] for name in names), default="")
        parts = [name for name in names if name.startswith(f"{newest}.")]
        return int(newest) + 1 if parts and all(self._fetch(name) for name in parts) else 0

    def _fetch(self, name: str) -> bool:
        """Copy a file of the log; False if it is not there."""
        try:
            data = read_small_file(f"{self.uri}/{FOLDER}/{name}")
        except FileNotFoundError:
            return False
        (self._copy / name).write_bytes(data)
        return True


def refused(error: Exception) -> bool:
    """Whether it came from Delta or a store, and not from a mistake of ours."""
    return isinstance(error, DeltaError) or is_stores(error)


def log_of(uri: str) -> Log:
    """That of the table in a folder or at a store's URL."""
    return CopiedLog(uri) if local_path(uri) is None else Log(uri)


def _commit(number: int) -> str:
    return f"{number:020}.json"


def _checkpoint(number: int) -> str:
    return f"{number:020}.checkpoint.parquet"
