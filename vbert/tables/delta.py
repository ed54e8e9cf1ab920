"""Delta Lake tables: workers write Parquet files, the driver commits them, each commit exactly once.

A file that no commit names does not exist for any reader, so a job killed anywhere leaves the tables as the
last commit left them; what it had written beside them goes with `vacuum`.
"""

import json
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from vbert.errors import UserError
from vbert.storage.files import arrow_filesystem, filesystem_of, is_passing, patient, writing
from vbert.tables.schemas import TableSchema

# A segment of 40 clips x 1,280 float32 is 200 KB: 64 rows make row groups of 13 MB, so that one video is
# read without the rest of a 512 MB shard.
ROWS_PER_GROUP = 64
OUR_FILE = re.compile(r"[a-z]+=[^/]+/part-[0-9a-f]{32}\.parquet")
VECTORS = "features.list.element.list.element"  # the vectors' column as Parquet names it


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFile:
    """A Parquet file that lies in a table's folder and waits for its commit."""

    path: str  # from the table's root
    partition: str
    size_bytes: int
    num_rows: int
    stats: str  # Delta's JSON: number of rows, least and greatest key


class Table:
    """One of the tables of `schemas`, in the folder or bucket `root`."""

    def __init__(self, root: str, layout: TableSchema) -> None:
        self.layout = layout
        self.uri = f"{root.rstrip('/')}/{layout.name}"
        self._newest: DeltaTable | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to workers without what it has read of the log."""
        return Table, (self.uri.rpartition("/")[0], self.layout)

    @patient
    def create(self) -> None:
        """Make the table if it is not there. UserError if it cannot be made, or something else is there."""
        self.refuse_others()
        filesystem, path = filesystem_of(self.uri)
        with writing(self.uri, cannot="make the table"):
            filesystem.makedirs(path, exist_ok=True)
            DeltaTable.create(
                self.uri, schema=self.layout.schema, mode="ignore", partition_by=[self.layout.partition]
            )

    @patient
    def refuse_others(self) -> None:
        """UserError if the folder holds files and no table: upkeep would delete them as no version's."""
        filesystem, path = filesystem_of(self.uri)
        with writing(self.uri, cannot="make the table"):
            filesystem.invalidate_cache()
            if not filesystem.isdir(path) or DeltaTable.is_deltatable(self.uri):
                return
            files = filesystem.ls(path, detail=False)
        names = sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in files)
        others = [name for name in names if name and name != "_delta_log"]
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
                self._newest = self._with_our_columns(DeltaTable(self.uri))
            else:
                self._newest.update_incremental()
            return self._newest
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

    def _with_our_columns(self, delta: DeltaTable) -> DeltaTable:
        there = {field.name for field in delta.schema().fields}
        lacking = [name for name in self.layout.schema.names if name not in there]
        if lacking:
            raise UserError(
                f"{self.uri}: is another's table (without {lacking[0]}); give --tables a folder of their own"
            )
        return delta

    def version(self) -> int:
        """The number of the newest commit."""
        return self.open().version()

    def partitions(self) -> list[str]:
        """The values of the partition column that have files, sorted."""
        return sorted({p[self.layout.partition] for p in patient(self.open().partitions)()})

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
        return dataset.to_table(columns=list(columns), filter=_of_videos(video_ids))

    def read_if_made(self, *, columns: Sequence[str], partition: str) -> pa.Table:
        """The rows of a partition; none where the table has not been made yet."""
        if not self.exists():
            return self.layout.schema.empty_table().select(list(columns))
        return self.read(columns=columns, partition=partition)

    def paths(self, *, partition: str) -> list[str]:
        """The files of a partition, from the table's root, sorted."""
        return sorted(self._actions(partition)["path"].to_pylist())

    def files(self, *, partition: str, version: int | None = None) -> dict[str, int]:
        """The files of a partition at a version, from the table's root, and how many rows each has."""
        mine = self._actions(partition, version)
        return dict(zip(mine["path"].to_pylist(), mine["num_records"].to_pylist(), strict=True))

    def read_rows(self, path: str, rows: Sequence[int]) -> pa.Table:
        """Some rows of one file by their numbers, which rise; only the row groups that hold them are read."""
        filesystem, root = arrow_filesystem(self.uri)
        wanted = np.asarray(rows, np.int64)
        with filesystem.open_input_file(f"{root}/{path}") as file:
            parquet = pq.ParquetFile(file)
            sizes = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
            ends = np.cumsum(sizes)
            group_of = np.searchsorted(ends, wanted, side="right")
            groups = np.unique(group_of)
            starts = np.cumsum([0, *(sizes[group] for group in groups)])[:-1]  # in what is read
            local = wanted - (ends - sizes)[group_of] + starts[np.searchsorted(groups, group_of)]
            return parquet.read_row_groups(groups.tolist()).take(local)

    def row_groups(self, path: str, *, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of one file, ROWS_PER_GROUP at a time."""
        filesystem, root = arrow_filesystem(self.uri)
        with filesystem.open_input_file(f"{root}/{path}") as file:
            parquet = pq.ParquetFile(file)
            for index in range(parquet.num_row_groups):
                yield parquet.read_row_group(index, columns=columns)

    def paths_with(self, video_ids: Collection[str], *, partition: str) -> list[str]:
        """The files of a partition that hold a row of any of the videos, from the table's root."""
        if not video_ids:
            return []
        delta = self.open()
        found = self._dataset(delta, partition).to_table(columns=["__filename"], filter=_of_videos(video_ids))
        names = {name.rsplit("/", 1)[-1] for name in found["__filename"].unique().to_pylist()}
        return [path for path in self.paths(partition=partition) if path.rsplit("/", 1)[-1] in names]

    def write_file(self, rows: pa.Table) -> NewFile:
        """Write rows of one partition to a new file, uncommitted. Any worker may call it."""
        (partition,) = rows[self.layout.partition].unique().to_pylist()
        order = [(name, "ascending") for name in self.layout.key]
        body = rows.select(self.layout.schema.names).cast(self.layout.schema).sort_by(order)
        return self._write([body.drop_columns([self.layout.partition])], partition=partition)

    def join_files(self, paths: Sequence[str], *, partition: str) -> NewFile:
        """Write the rows of several files, in their order, to one new file, uncommitted."""
        return self._write((rows for path in paths for rows in self.row_groups(path)), partition=partition)

    def rewrite_without(self, path: str, video_ids: Collection[str], *, partition: str) -> NewFile | None:
        """Write the file's rows of other videos to a new file, uncommitted; None if there are none."""
        dropped = pa.array(sorted(video_ids), pa.string())
        kept = [rows.filter(pc.invert(pc.is_in(rows["video_id"], dropped))) for rows in self.row_groups(path)]
        if not any(rows.num_rows for rows in kept):
            return None
        return self._write(kept, partition=partition)

    def small_files(self, *, partition: str, target_bytes: int) -> list[list[str]]:
        """Groups of files, each to be joined into one of about `target_bytes`; large ones are left alone."""
        actions = self._actions(partition)
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

    def vacuum(self, *, retention_hours: int) -> list[str]:
        """Delete files that no version of the last `retention_hours` names; return their paths.

        A running job's uncommitted files are younger than any sensible retention and stay. UserError, and
        nothing deleted, if one of the files is none that we write: somebody may want it.
        """
        vacuum = partial(
            patient(self.open().vacuum),
            retention_hours=retention_hours,
            enforce_retention_duration=False,
            full=True,
        )
        others = [path for path in vacuum(dry_run=True) if not OUR_FILE.fullmatch(path)]
        if others:
            raise UserError(f"{self.uri}: holds {others[0]}, which is not the table's; move it elsewhere")
        return vacuum(dry_run=False)

    def _write(self, parts: Iterable[pa.Table], *, partition: str) -> NewFile:
        """Stream `parts`, without the partition's column, into a new file."""
        column = self.layout.partition
        relative = f"{column}={partition}/part-{uuid.uuid4().hex}.parquet"
        filesystem, path = filesystem_of(f"{self.uri}/{relative}")
        schema = pa.schema([field for field in self.layout.schema if field.name != column])
        key = [name for name in self.layout.key if name != column]
        keys = []
        with writing(f"{self.uri}/{relative}"):
            filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            with (
                filesystem.open(path, "wb") as file,
                pq.ParquetWriter(file, schema, compression="zstd", **_vector_encoding(schema)) as writer,
            ):
                for rows in parts:
                    writer.write_table(rows.select(schema.names).cast(schema), row_group_size=ROWS_PER_GROUP)
                    keys.append(rows.select(key))
        stats = _stats(pa.concat_tables(keys))
        return NewFile(
            path=relative,
            partition=partition,
            size_bytes=filesystem.size(path),
            num_rows=stats["numRecords"],
            stats=json.dumps(stats),
        )

    def _actions(self, partition: str, version: int | None = None) -> pa.Table:
        """What Delta knows of the files of a partition."""
        actions = pa.table(patient(self.open(version).get_add_actions)(flatten=True))
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


def _of_videos(video_ids: Collection[str] | None) -> ds.Expression | None:
    if video_ids is None:
        return None
    return ds.field("video_id").isin(pa.array(sorted(video_ids), pa.string()))


def _vector_encoding(schema: pa.Schema) -> dict[str, Any]:
    """BYTE_STREAM_SPLIT puts the bytes of equal weight side by side: float16 values in float32 halve."""
    if "features" not in schema.names:
        return {}
    others = [name for name in schema.names if name != "features"]
    return {"use_byte_stream_split": [VECTORS], "use_dictionary": others}


def _stats(keys: pa.Table) -> dict[str, Any]:
    ranges = {name: pc.min_max(keys[name]).as_py() for name in keys.column_names}
    return {
        "numRecords": keys.num_rows,
        "minValues": {name: found["min"] for name, found in ranges.items()},
        "maxValues": {name: found["max"] for name, found in ranges.items()},
        "nullCount": {name: keys[name].null_count for name in keys.column_names},
    }
