"""Delta Lake tables: workers write Parquet files, the driver commits them, each commit exactly once.

A file that no commit names does not exist for any reader, so a job killed anywhere leaves the tables as the
last commit left them; what it had written beside them goes with `vacuum`.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.schema import Schema

from vbert.errors import UserError
from vbert.storage.ahead import ahead
from vbert.storage.files import MAX_TRIES, filesystem_of, is_passing, names_in, patient, writing
from vbert.tables.log import FOLDER, log_of, refused
from vbert.tables.parquet_files import (
    FILES_AT_ONCE,
    VIDEO_ID,
    NewFile,
    Provenance,
    StoredFile,
    provenance_of,
    read_file,
    read_rows,
    row_groups,
    with_columns_of,
    write_parquet,
)
from vbert.tables.schemas import SCHEMA_VERSION, TableSchema
from vbert.tables.selection import EVERY_VIDEO, Among, Selection

# What Delta calls what StoredFile has.
STORED = ["path", "size_bytes", "num_records", f"min.{VIDEO_ID}", f"max.{VIDEO_ID}"]

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def once_alone(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Decorate what opens the table and makes a commit of Delta's own: it is done again, MAX_TRIES times in
    all, when another job's commit comes before."""

    @functools.wraps(function)
    def again(*args: Asked.args, **options: Asked.kwargs) -> Answer:
        for _ in range(1, MAX_TRIES):
            with suppress(CommitFailedError):
                return function(*args, **options)
        return function(*args, **options)

    return again


class Table:
    """One of the tables of `schemas`, in the folder or bucket `root`."""

    def __init__(self, root: str, layout: TableSchema) -> None:
        self.layout = layout
        self.root = root.rstrip("/")
        self.uri = f"{self.root}/{layout.name}"
        self.log = log_of(self.uri)
        self._files: tuple[tuple[int, str] | None, pa.Table | None] = (None, None)  # at a version

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to workers without what it has read of the log."""
        return Table, (self.root, self.layout)

    @patient
    def create(self) -> None:
        """Make the table if it is not there, or give one of an earlier release the columns that it lacks.
        UserError if it cannot be made, or something else is there."""
        with writing(self.uri, cannot="make the table"):
            delta = self.open_if_made()
            if delta is None:
                self._make()
                delta = self.open()
            if _lacking(delta, self.layout) or not self._has_properties(delta):
                self._bring_up_to_date()

    def _make(self) -> None:
        """Another job may do so at the same time."""
        self.refuse_others()
        filesystem, path = filesystem_of(self.uri)
        filesystem.makedirs(path, exist_ok=True)
        DeltaTable.create(
            self.uri,
            schema=self.layout.schema,
            mode="ignore",
            partition_by=[self.layout.partition],
            configuration=self.layout.properties,
            raise_if_key_not_exists=False,
        )

    @once_alone
    def _bring_up_to_date(self) -> None:
        """Add the columns of this release; another job may do so at the same time."""
        delta = self._ours(self.open_in_place())
        if lacking := _lacking(delta, self.layout):
            added = pa.schema([self.layout.schema.field(name) for name in lacking])
            delta.alter.add_columns(Schema.from_arrow(added).fields)
            delta = self.open_in_place()
        if not self._has_properties(delta):
            delta.alter.set_table_properties(self.layout.properties, raise_if_not_exists=False)

    def _has_properties(self, delta: DeltaTable) -> bool:
        return self.layout.properties.items() <= delta.metadata().configuration.items()

    @patient
    def refuse_others(self) -> None:
        """UserError if the folder holds files and no table: upkeep would delete them as no version's."""
        with writing(self.uri, cannot="make the table"):
            if self.log.exists():
                return
            others = [name for name in names_in(self.uri) if name and name != FOLDER]
        if others:
            raise UserError(
                f"{self.uri}: holds {others[0]} and no table; give --tables a folder of their own"
            )

    @patient
    def exists(self) -> bool:
        """Whether a table has been made here."""
        return self.log.exists()

    @patient
    def open(self, version: int | None = None) -> DeltaTable:
        """The table at its newest version, which the next call brings up to date, or at the given one."""
        try:
            if version is not None:
                return DeltaTable(self.uri, version=version)
            return self._ours(self.log.newest())
        except TableNotFoundError as error:
            raise UserError(f"{self.uri}: no such table; give the --tables that featurize wrote") from error
        except Exception as error:
            if is_passing(error) or not refused(error):
                raise
            if version is None:
                raise UserError(
                    f"{self.uri}: cannot be read as a table ({error}); correct --tables or the "
                    "credentials, or restore its _delta_log"
                ) from error
            raise UserError(f"{self.uri}: has no version {version}, or no longer ({error})") from error

    def open_if_made(self) -> DeltaTable | None:
        """Its newest version; None where the table has not been made yet."""
        try:
            return self.open()
        except UserError as error:
            if isinstance(error.__cause__, TableNotFoundError):
                return None
            raise

    def open_in_place(self) -> DeltaTable:
        """The newest version, for what Delta does to a table by itself: to its properties and its files."""
        return DeltaTable(self.uri)

    def _ours(self, delta: DeltaTable) -> DeltaTable:
        """UserError for another's table, and for one that a later release has changed."""
        version = _schema_version(delta)
        if version > self.layout.version:
            raise UserError(
                f"{self.uri}: was written by a newer vbert (schema {version}, this one knows up to "
                f"{self.layout.version}); upgrade vbert"
            )
        others = [name for name in _lacking(delta, self.layout) if name not in self.layout.added]
        if others:
            raise UserError(
                f"{self.uri}: is another's table (without {others[0]}); give --tables a folder of their own"
            )
        return delta

    def version(self) -> int:
        """The number of the newest commit."""
        return self.open().version()

    def schema_version(self) -> int:
        """Which of the schema's versions it has, by its last writer."""
        return _schema_version(self.open())

    def partitions(self) -> list[str]:
        """The values of the partition column that have files, sorted."""
        return self.partitions_at(self.open())

    def partitions_at(self, delta: DeltaTable) -> list[str]:
        """The same of what `open` gave."""
        return sorted({p[self.layout.partition] for p in patient(delta.partitions)()})

    def read(
        self,
        *,
        columns: Sequence[str],
        partition: str,
        video_ids: Collection[str] | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """The rows of a partition, or those of some of its videos, in no particular order."""
        selection = EVERY_VIDEO if video_ids is None else Among(video_ids)
        paths = self.paths_that_may_hold(selection, partition=partition, at=self.open(version))
        parts = list(self.read_each(paths, columns=columns, selection=selection))
        schema = pa.schema([self.layout.schema.field(name) for name in columns])
        found = (
            pa.concat_tables(parts)
            if parts
            else schema.empty_table().drop_columns(
                [name for name in columns if name == self.layout.partition]
            )
        )
        if self.layout.partition in columns:
            found = found.append_column(self.layout.partition, pa.repeat(partition, found.num_rows))
        return found.select(list(columns))

    def read_if_made(self, *, columns: Sequence[str], partition: str) -> pa.Table:
        """The rows of a partition; none where the table has not been made yet."""
        if self.open_if_made() is None:
            return self.layout.schema.empty_table().select(list(columns))
        return self.read(columns=columns, partition=partition)

    def parts(
        self, *, columns: Sequence[str], partition: str, version: int | None = None
    ) -> Iterator[pa.Table]:
        """The rows of a partition, a file at a time: of a table that does not fit the memory."""
        yield from self.read_each(self.paths(partition=partition, at=self.open(version)), columns=columns)

    def parts_if_made(self, *, columns: Sequence[str], partition: str) -> Iterator[pa.Table]:
        """The same of the newest version; none where the table has not been made yet."""
        if delta := self.open_if_made():
            yield from self.read_each(self.paths(partition=partition, at=delta), columns=columns)

    def stored(self, *, partition: str, at: DeltaTable | None = None) -> list[StoredFile]:
        """The files of a partition, sorted by path; `at` is what `open` gave."""
        files = self._files_of(partition, at or self.open()).sort_by("path")
        return [StoredFile(*row) for row in zip(*files.to_pydict().values(), strict=True)]

    def _files_of(self, partition: str, delta: DeltaTable) -> pa.Table:
        """The same, a row a file, in no particular order: a commit looks at all of them."""
        known = (delta.version(), partition)
        if self._files[0] != known or self._files[1] is None:
            actions = pa.table(patient(delta.get_add_actions)(flatten=True))
            mine = actions.filter(pc.equal(actions[f"partition.{self.layout.partition}"], partition))
            self._files = known, mine.select(STORED).rename_columns(StoredFile.__match_args__)
        return self._files[1]

    def which_are_there(
        self, paths: Collection[str], *, partition: str, at: DeltaTable | None = None
    ) -> set[str]:
        """Those of the paths that are files of a partition."""
        there = self._files_of(partition, at or self.open())["path"]
        found: list[str] = there.filter(pc.is_in(there, pa.array(paths, pa.string()))).to_pylist()
        return set(found)

    def num_small_files(self, target_bytes: int, *, partition: str) -> int:
        """Files of a partition with less than half of the bytes or rows that one may have."""
        files = self._files_of(partition, self.open())
        is_small = pc.and_(
            pc.less(files["size_bytes"], target_bytes / 2),
            pc.less(files["num_rows"], self.layout.rows_per_file / 2),
        )
        return int(pc.sum(is_small).as_py() or 0)

    def paths(self, *, partition: str, at: DeltaTable | None = None) -> list[str]:
        """The files of a partition, from the table's root, sorted."""
        return [file.path for file in self.stored(partition=partition, at=at)]

    def files(self, *, partition: str, version: int | None = None) -> dict[str, int]:
        """The files of a partition at a version, from the table's root, and how many rows each has."""
        found = self.stored(partition=partition, at=self.open(version))
        return {file.path: file.num_rows for file in found}

    def read_each(
        self, paths: Sequence[str], *, columns: Sequence[str], selection: Selection = EVERY_VIDEO
    ) -> Iterator[pa.Table]:
        """The selected rows of each of these files, in their order: opening a file in a bucket is waiting."""
        read = partial(read_file, self.uri, self.layout, columns=columns, selection=selection)
        return ahead(patient(read), paths, num_threads=FILES_AT_ONCE)

    def read_rows(self, path: str, rows: Sequence[int]) -> pa.Table:
        """Some rows of one file by their numbers, which rise; only the row groups that hold them are read."""
        return read_rows(self.uri, self.layout, path, rows)

    def row_groups(
        self, path: str, *, columns: Sequence[str] | None = None, selection: Selection = EVERY_VIDEO
    ) -> Iterator[pa.Table]:
        """The rows of one file that are of the selected videos, a row group at a time."""
        return row_groups(self.uri, self.layout, path, columns=columns, selection=selection)

    def file_has(self, path: str, video_ids: Collection[str]) -> bool:
        """Whether a file, of whatever version, holds a row of any of the videos."""
        found = self.row_groups(path, columns=[VIDEO_ID], selection=Among(video_ids))
        return any(rows.num_rows for rows in found)

    def provenance(self, path: str) -> list[dict[str, str]]:
        """What the rows of one file were made with."""
        return provenance_of(self.uri, path)

    def paths_with(
        self, video_ids: Collection[str], *, partition: str, at: DeltaTable | None = None
    ) -> list[str]:
        """The files of a partition that hold a row of any of the videos, from the table's root."""
        if not video_ids:
            return []
        selection = Among(video_ids)
        paths = self.paths_that_may_hold(selection, partition=partition, at=at)
        found = self.read_each(paths, columns=[VIDEO_ID], selection=selection)
        return [path for path, rows in zip(paths, found, strict=True) if rows.num_rows]

    def write_file(self, rows: pa.Table, *, provenance: Iterable[Provenance] = ()) -> NewFile:
        """Write rows of one partition to a new file, uncommitted. Any worker may call it."""
        (partition,) = rows[self.layout.partition].unique().to_pylist()
        order = [(name, "ascending") for name in self.layout.key]
        whole = with_columns_of(rows, self.layout.schema)
        body = whole.cast(self.layout.schema).sort_by(order).drop_columns([self.layout.partition])
        return write_parquet(self.uri, self.layout, [body], partition=partition, provenance=provenance)

    def rewrite_without(self, path: str, video_ids: Collection[str], *, partition: str) -> NewFile | None:
        """Write the file's rows of other videos to a new file, uncommitted; None if there are none."""
        dropped = pa.array(sorted(video_ids), pa.string())
        kept = [rows.filter(pc.invert(pc.is_in(rows["video_id"], dropped))) for rows in self.row_groups(path)]
        if not any(rows.num_rows for rows in kept):
            return None
        made_with = self.provenance(path)
        return write_parquet(self.uri, self.layout, kept, partition=partition, provenance=made_with)

    def paths_that_may_hold(
        self, selection: Selection, *, partition: str, at: DeltaTable | None = None
    ) -> list[str]:
        """The files of a partition that may hold a selected video, by what Delta knows of them."""
        files = self._files_of(partition, at or self.open()).sort_by("path")
        columns = [files[name].to_pylist() for name in ("path", "least_id", "greatest_id")]
        return [
            path
            for path, least, greatest in zip(*columns, strict=True)
            if selection.may_be_from(least, greatest)
        ]


def _schema_version(delta: DeltaTable) -> int:
    return int(delta.metadata().configuration.get(SCHEMA_VERSION, "1"))


def _lacking(delta: DeltaTable, layout: TableSchema) -> list[str]:
    there = {field.name for field in delta.schema().fields}
    return [name for name in layout.schema.names if name not in there]
