"""Delta Lake tables: workers write Parquet files, the driver commits them, each commit exactly once.

A file that no commit names does not exist for any reader, so a job killed anywhere leaves the tables as the
last commit left them; what it had written beside them goes with `vacuum`.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import Schema

from vbert.errors import UserError
from vbert.storage.files import (
    MAX_TRIES,
    arrow_filesystem,
    filesystem_of,
    is_passing,
    names_in,
    patient,
    writing,
)
from vbert.tables.parquet_files import (
    NewFile,
    Provenance,
    provenance_of,
    read_rows,
    row_groups,
    with_columns_of,
    write_parquet,
)
from vbert.tables.schemas import TableSchema

SCHEMA_VERSION = "vbert.schemaVersion"  # a property of each table; without it: 1
# Old entries of the log go when `vacuum` says so: a pinned version needs its own.
KEEP_LOG = "delta.enableExpiredLogCleanup"

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
        self._newest: DeltaTable | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to workers without what it has read of the log."""
        return Table, (self.root, self.layout)

    @patient
    def create(self) -> None:
        """Make the table if it is not there, or give one of an earlier release the columns that it lacks.
        UserError if it cannot be made, or something else is there."""
        self.refuse_others()
        filesystem, path = filesystem_of(self.uri)
        with writing(self.uri, cannot="make the table"):
            filesystem.makedirs(path, exist_ok=True)
            DeltaTable.create(
                self.uri,
                schema=self.layout.schema,
                mode="ignore",
                partition_by=[self.layout.partition],
                configuration=self._properties(),
                raise_if_key_not_exists=False,
            )
            self._bring_up_to_date()

    def _properties(self) -> dict[str, str]:
        return {SCHEMA_VERSION: str(self.layout.version), KEEP_LOG: "false"}

    @once_alone
    def _bring_up_to_date(self) -> None:
        """Add the columns of this release; another job may do so at the same time."""
        delta = self.open()
        if lacking := _lacking(delta, self.layout):
            added = pa.schema([self.layout.schema.field(name) for name in lacking])
            delta.alter.add_columns(Schema.from_arrow(added).fields)
            delta = self.open()
        if not self._properties().items() <= delta.metadata().configuration.items():
            delta.alter.set_table_properties(self._properties(), raise_if_not_exists=False)

    @patient
    def refuse_others(self) -> None:
        """UserError if the folder holds files and no table: upkeep would delete them as no version's."""
        with writing(self.uri, cannot="make the table"):
            if DeltaTable.is_deltatable(self.uri):
                return
            others = [name for name in names_in(self.uri) if name and name != "_delta_log"]
        if others:
            raise UserError(
                f"{self.uri}: holds {others[0]} and no table; give --tables a folder of their own"
            )

    @patient
    def exists(self) -> bool:
        """Whether a table has been made here."""
        return DeltaTable.is_deltatable(self.uri)

    @patient
    def open(self, version: int | None = None) -> DeltaTable:
        """The table at its newest version, or at the given one.

        Of the newest there is one object, which each call brings up to date: in a bucket every commit that is
        read again is a request.
        """
        try:
            if version is not None:
                return DeltaTable(self.uri, version=version)
            if self._newest is None:
                self._newest = DeltaTable(self.uri)
            else:
                self._newest.update_incremental()
            return self._ours(self._newest)
        except TableNotFoundError as error:
            raise UserError(f"{self.uri}: no such table; give the --tables that featurize wrote") from error
        except (DeltaError, OSError) as error:
            if is_passing(error):
                raise
            if version is None:
                raise UserError(
                    f"{self.uri}: cannot be read as a table ({error}); correct --tables, or restore its "
                    "_delta_log"
                ) from error
            raise UserError(f"{self.uri}: has no version {version}, or no longer ({error})") from error

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
        dataset = self._dataset(self.open(version), partition)
        there = [name for name in columns if name in dataset.schema.names]
        found = dataset.to_table(columns=there, filter=_of_videos(video_ids))
        return with_columns_of(found, self.layout.schema, names=columns)

    def read_if_made(self, *, columns: Sequence[str], partition: str) -> pa.Table:
        """The rows of a partition; none where the table has not been made yet."""
        if not self.exists():
            return self.layout.schema.empty_table().select(list(columns))
        return self.read(columns=columns, partition=partition)

    def paths(self, *, partition: str, at: DeltaTable | None = None) -> list[str]:
        """The files of a partition, from the table's root, sorted; `at` is what `open` gave."""
        return sorted(self._actions(at or self.open(), partition)["path"].to_pylist())

    def files(self, *, partition: str, version: int | None = None) -> dict[str, int]:
        """The files of a partition at a version, from the table's root, and how many rows each has."""
        mine = self._actions(self.open(version), partition)
        return dict(zip(mine["path"].to_pylist(), mine["num_records"].to_pylist(), strict=True))

    def sizes(self, *, partition: str) -> dict[str, int]:
        """The newest files of a partition, from the table's root, and how many bytes each has."""
        mine = self._actions(self.open(), partition)
        return dict(zip(mine["path"].to_pylist(), mine["size_bytes"].to_pylist(), strict=True))

    def read_rows(self, path: str, rows: Sequence[int]) -> pa.Table:
        """Some rows of one file by their numbers, which rise; only the row groups that hold them are read."""
        return read_rows(self.uri, self.layout, path, rows)

    def row_groups(self, path: str, *, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of one file, ROWS_PER_GROUP at a time."""
        return row_groups(self.uri, self.layout, path, columns=columns)

    def file_has(self, path: str, video_ids: Collection[str]) -> bool:
        """Whether a file, of whatever version, holds a row of any of the videos."""
        wanted = pa.array(sorted(video_ids), pa.string())
        parts = self.row_groups(path, columns=["video_id"])
        return any(pc.any(pc.is_in(rows["video_id"], value_set=wanted)).as_py() for rows in parts)

    def provenance(self, path: str) -> list[dict[str, str]]:
        """What the rows of one file were made with."""
        return provenance_of(self.uri, path)

    def paths_with(
        self, video_ids: Collection[str], *, partition: str, at: DeltaTable | None = None
    ) -> list[str]:
        """The files of a partition that hold a row of any of the videos, from the table's root."""
        if not video_ids:
            return []
        delta = at or self.open()
        found = self._dataset(delta, partition).to_table(columns=["__filename"], filter=_of_videos(video_ids))
        names = {name.rsplit("/", 1)[-1] for name in found["__filename"].unique().to_pylist()}
        paths = self.paths(partition=partition, at=delta)
        return [path for path in paths if path.rsplit("/", 1)[-1] in names]

    def write_file(self, rows: pa.Table, *, provenance: Iterable[Provenance] = ()) -> NewFile:
        """Write rows of one partition to a new file, uncommitted. Any worker may call it."""
        (partition,) = rows[self.layout.partition].unique().to_pylist()
        order = [(name, "ascending") for name in self.layout.key]
        whole = with_columns_of(rows, self.layout.schema)
        body = whole.cast(self.layout.schema).sort_by(order).drop_columns([self.layout.partition])
        return write_parquet(self.uri, self.layout, [body], partition=partition, provenance=provenance)

    def join_files(self, paths: Sequence[str], *, partition: str) -> NewFile:
        """Write the rows of several files, in their order, to one new file, uncommitted."""
        parts = (rows for path in paths for rows in self.row_groups(path))
        made_with = [one for path in paths for one in self.provenance(path)]
        return write_parquet(self.uri, self.layout, parts, partition=partition, provenance=made_with)

    def rewrite_without(self, path: str, video_ids: Collection[str], *, partition: str) -> NewFile | None:
        """Write the file's rows of other videos to a new file, uncommitted; None if there are none."""
        dropped = pa.array(sorted(video_ids), pa.string())
        kept = [rows.filter(pc.invert(pc.is_in(rows["video_id"], dropped))) for rows in self.row_groups(path)]
        if not any(rows.num_rows for rows in kept):
            return None
        made_with = self.provenance(path)
        return write_parquet(self.uri, self.layout, kept, partition=partition, provenance=made_with)

    def small_files(self, *, partition: str, target_bytes: int) -> list[list[str]]:
        """Groups of files, each to be joined into one of about `target_bytes`; large ones are left alone."""
        actions = self._actions(self.open(), partition)
        groups: list[list[str]] = [[]]
        group_bytes = 0
        for action in actions.sort_by("min.video_id").select(["path", "size_bytes"]).to_pylist():
            if action["size_bytes"] >= target_bytes // 2:
                continue
            if group_bytes + action["size_bytes"] > target_bytes and groups[-1]:
                groups.append([])
                group_bytes = 0
            groups[-1].append(action["path"])
            group_bytes += action["size_bytes"]
        return [group for group in groups if len(group) > 1]

    def _actions(self, delta: DeltaTable, partition: str) -> pa.Table:
        """What Delta knows of the files of a partition."""
        actions = pa.table(patient(delta.get_add_actions)(flatten=True))
        return actions.filter(pc.equal(actions[f"partition.{self.layout.partition}"], partition))

    @patient
    def _dataset(self, delta: DeltaTable, partition: str) -> ds.Dataset:
        column = self.layout.partition
        filesystem, root = arrow_filesystem(self.uri)
        dataset = delta.to_pyarrow_dataset(
            file_pruning_predicate=[(column, "=", partition)],
            filesystem=pyarrow.fs.SubTreeFileSystem(root, filesystem),
        )
        return dataset.filter(ds.field(column) == partition)


def _schema_version(delta: DeltaTable) -> int:
    return int(delta.metadata().configuration.get(SCHEMA_VERSION, "1"))


def _lacking(delta: DeltaTable, layout: TableSchema) -> list[str]:
    there = {field.name for field in delta.schema().fields}
    return [name for name in layout.schema.names if name not in there]


def _of_videos(video_ids: Collection[str] | None) -> ds.Expression | None:
    if video_ids is None:
        return None
    return ds.field("video_id").isin(pa.array(sorted(video_ids), pa.string()))
