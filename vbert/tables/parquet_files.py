"""The Parquet files of a table: written before their commit, read by rows and row groups.

A file says in its metadata what its rows were made with (`provenance`), and keeps it when it is joined with
others. Where wide columns lie between the narrow ones, a narrow file beside it has those once more: it is
written after the file and deleted before, and where it lacks (of an earlier release), the file is read.
"""

import io
import json
import re
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vbert.storage.ahead import ahead
from vbert.storage.arrow_files import arrow_filesystem
from vbert.storage.files import (
    delete_file,
    filesystem_of,
    make_folder_of,
    read_small_file,
    write_file,
    writing,
)
from vbert.tables.schemas import TableSchema
from vbert.tables.selection import EVERY_VIDEO, Among, Selection

VIDEO_ID = "video_id"  # of every table, and what its rows are sorted by
VECTORS = "features.list.element.list.element"  # the vectors' column as Parquet names it
PROVENANCE = b"vbert.provenance"
FILES_AT_ONCE = 16  # a store answers after tens of milliseconds, however many ask
NARROW = "_narrow"  # the folder of narrow files: who reads Delta passes over names that begin so
OUR_FILE = re.compile(r"[a-z]+=[^/]+/part-[0-9a-f]{32}\.parquet")

Provenance = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFile:
    """A Parquet file that lies in a table's folder and waits for its commit."""

    path: str  # from the table's root
    partition: str
    size_bytes: int
    num_rows: int
    stats: str  # Delta's JSON: number of rows, least and greatest key


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a table at a version."""

    path: str  # from the table's root
    size_bytes: int
    num_rows: int
    least_id: str  # of its videos
    greatest_id: str


def write_parquet(
    table_uri: str,
    layout: TableSchema,
    parts: Iterable[pa.Table],
    *,
    partition: str,
    provenance: Iterable[Provenance] = (),
) -> NewFile:
    """Stream `parts`, without the partition's column, into a new file of a table."""
    relative = f"{layout.partition}={partition}/part-{uuid.uuid4().hex}.parquet"
    filesystem, path = filesystem_of(f"{table_uri}/{relative}")
    schema = _body(layout)
    key = [name for name in layout.key if name != layout.partition]
    beside = list(dict.fromkeys([*key, *layout.narrow]))
    narrow = []
    with writing(f"{table_uri}/{relative}"):
        make_folder_of(f"{table_uri}/{relative}")
        with filesystem.open(path, "wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd", **_vector_encoding(schema)) as writer:
                if made_with := _sorted(provenance):
                    writer.add_key_value_metadata({PROVENANCE: json.dumps(made_with).encode()})
                for rows in parts:
                    whole = with_columns_of(rows, schema).cast(schema)
                    writer.write_table(whole, row_group_size=layout.rows_per_group)
                    narrow.append(whole.select(beside))
            size_bytes = file.tell()
    kept = pa.concat_tables(narrow)
    if layout.narrow:
        _write_narrow(table_uri, relative, kept.select(list(layout.narrow)))
    stats = _stats(kept.select(key))
    return NewFile(
        path=relative,
        partition=partition,
        size_bytes=size_bytes,
        num_rows=stats["numRecords"],
        stats=json.dumps(stats),
    )


def _write_narrow(table_uri: str, path: str, rows: pa.Table) -> None:
    data = io.BytesIO()
    pq.write_table(rows, data, compression="zstd", **_narrow_encoding(rows.schema))
    write_file(f"{table_uri}/{NARROW}/{path}", data.getvalue())


def read_file(
    table_uri: str,
    layout: TableSchema,
    path: str,
    *,
    columns: Sequence[str],
    selection: Selection = EVERY_VIDEO,
) -> pa.Table:
    """The rows of one file that are of the selected videos; only row groups that may hold them are read."""
    parts = row_groups(table_uri, layout, path, columns=columns, selection=selection)
    return pa.concat_tables([_body(layout, columns).empty_table(), *parts])


def row_groups(
    table_uri: str,
    layout: TableSchema,
    path: str,
    *,
    columns: Sequence[str] | None = None,
    selection: Selection = EVERY_VIDEO,
) -> Iterator[pa.Table]:
    """The same, a row group at a time; what the file was written without is null. Of a file or a group that
    will often hold none the ids are read first, and the rest if they say so."""
    schema = _body(layout, columns)
    is_by_id = isinstance(selection, Among) and VIDEO_ID in layout.narrow
    is_wide = not set(schema.names) <= set(layout.narrow)
    if is_by_id and is_wide and not _may_hold(table_uri, path, selection):
        return
    with _open(table_uri, layout, path, columns=schema.names) as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        there = [name for name in {*schema.names, VIDEO_ID} if name in parquet.schema_arrow.names]
        for index in range(parquet.num_row_groups):
            ids = _range(parquet.metadata.row_group(index))
            if ids is not None and not selection.may_be_from(*ids):
                continue
            if there != [VIDEO_ID] and ids is not None and selection.is_seldom_in(*ids):
                names = parquet.read_row_group(index, columns=[VIDEO_ID])[VIDEO_ID]
                if not pc.any(selection.is_in(names)).as_py():
                    continue
            rows = parquet.read_row_group(index, columns=there)
            if selection is not EVERY_VIDEO:
                rows = rows.filter(selection.is_in(rows[VIDEO_ID]))
            yield with_columns_of(rows, schema).cast(schema)


def _may_hold(table_uri: str, path: str, selection: Selection) -> bool:
    """Whether a file has some of the videos, by its narrow file, if there is one."""
    try:
        ids = pq.read_table(_narrow_input(table_uri, path), columns=[VIDEO_ID])[VIDEO_ID]
    except FileNotFoundError:
        return True
    return bool(pc.any(selection.is_in(ids)).as_py())


def _open(table_uri: str, layout: TableSchema, path: str, *, columns: Sequence[str]) -> pa.NativeFile:
    """The narrow file if it has the columns, else the file itself. What is narrow is got in one request; the
    rest takes one for the size, one for the footer and one a row group."""
    if set(columns) <= set(layout.narrow):
        with suppress(FileNotFoundError):
            return _narrow_input(table_uri, path)
    if layout.is_narrow:
        return pa.BufferReader(read_small_file(f"{table_uri}/{path}"))
    arrow, inside = arrow_filesystem(f"{table_uri}/{path}")
    return arrow.open_input_file(inside)


def _narrow_input(table_uri: str, path: str) -> pa.NativeFile:
    return pa.BufferReader(read_small_file(f"{table_uri}/{NARROW}/{path}"))


def _range(group: pq.RowGroupMetaData) -> tuple[str, str] | None:
    """The least and the greatest id in it, if it says so."""
    names = [group.column(index).path_in_schema for index in range(group.num_columns)]
    ids = group.column(names.index(VIDEO_ID)).statistics
    return None if ids is None or not ids.has_min_max else (ids.min, ids.max)


def read_rows(table_uri: str, layout: TableSchema, path: str, rows: Sequence[int]) -> pa.Table:
    """Some rows of one file by their numbers, which rise; only the row groups that hold them are read."""
    filesystem, root = arrow_filesystem(table_uri)
    wanted = np.asarray(rows, np.int64)
    with filesystem.open_input_file(f"{root}/{path}") as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        sizes = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
        ends = np.cumsum(sizes)
        group_of = np.searchsorted(ends, wanted, side="right")
        groups = np.unique(group_of)
        starts = np.cumsum([0, *(sizes[group] for group in groups)])[:-1]  # in what is read
        local = wanted - (ends - sizes)[group_of] + starts[np.searchsorted(groups, group_of)]
        found = parquet.read_row_groups(groups.tolist()).take(local)
    return with_columns_of(found, _body(layout))


def stored_files(table_uri: str) -> list[str]:
    """The Parquet files in a table's folder, from its root, whether a version names them or not."""
    filesystem, root = filesystem_of(table_uri)
    filesystem.invalidate_cache()
    found = [path.removeprefix(root).lstrip("/") for path in filesystem.find(root)]
    return sorted(path for path in found if OUR_FILE.fullmatch(path))


def delete_files(table_uri: str, layout: TableSchema, paths: Iterable[str]) -> None:
    """Delete files that no version which somebody reads has; another job may have been faster."""

    def delete(path: str) -> None:
        if layout.narrow:
            delete_file(f"{table_uri}/{NARROW}/{path}")
        delete_file(f"{table_uri}/{path}")

    deque(ahead(delete, paths, num_threads=FILES_AT_ONCE), maxlen=0)


def provenance_of(table_uri: str, path: str) -> list[dict[str, str]]:
    """What the rows of a file were made with; nothing for a file that does not say."""
    filesystem, root = arrow_filesystem(table_uri)
    with filesystem.open_input_file(f"{root}/{path}") as file:
        metadata = pq.read_metadata(file).metadata or {}
    found: list[dict[str, str]] = json.loads(metadata.get(PROVENANCE, b"[]"))
    return found


def with_columns_of(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """`rows` with the columns of a schema in their order: null what it lacks."""
    for field in schema:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names)


def _body(layout: TableSchema, columns: Sequence[str] | None = None) -> pa.Schema:
    """The columns that its files hold, or those of them that are wanted: all but the partition's."""
    return pa.schema(
        [layout.schema.field(n) for n in columns or layout.schema.names if n != layout.partition]
    )


def _sorted(provenance: Iterable[Provenance]) -> list[dict[str, str]]:
    """Each once."""
    found = {json.dumps(dict(made_with), sort_keys=True) for made_with in provenance}
    return [json.loads(text) for text in sorted(found)]


def _vector_encoding(schema: pa.Schema) -> dict[str, Any]:
    """BYTE_STREAM_SPLIT puts the bytes of equal weight side by side: float16 values in float32 halve."""
    if "features" not in schema.names:
        return {}
    others = [name for name in schema.names if name != "features"]
    return {"use_byte_stream_split": [VECTORS], "use_dictionary": others}


def _narrow_encoding(schema: pa.Schema) -> dict[str, Any]:
    """Hashes and uris do not repeat, so that no dictionary helps; ids, which are in order, begin alike."""
    others = [field.name for field in schema if field.name.endswith(("fingerprint", "uri"))]
    encodings = {VIDEO_ID: "DELTA_BYTE_ARRAY"} | dict.fromkeys(others, "DELTA_LENGTH_BYTE_ARRAY")
    return {
        "column_encoding": encodings,
        "use_dictionary": [name for name in schema.names if name not in encodings],
    }


def _stats(keys: pa.Table) -> dict[str, Any]:
    ranges = {name: pc.min_max(keys[name]).as_py() for name in keys.column_names}
    return {
        "numRecords": keys.num_rows,
        "minValues": {name: found["min"] for name, found in ranges.items()},
        "maxValues": {name: found["max"] for name, found in ranges.items()},
        "nullCount": {name: keys[name].null_count for name in keys.column_names},
    }
