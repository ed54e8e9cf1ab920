"""Small tables that users write: some columns of a .parquet, .csv or .jsonl file."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from vbert.errors import UserError
from vbert.storage.files import open_file

Columns = Mapping[str, pa.DataType]

LONGEST_LINE = 2**24  # bytes; Arrow reads so many at a time


def read_records(
    source: str, columns: Columns, *, kind: str, mistaken: Mapping[str, str] = MappingProxyType({})
) -> pa.Table:
    """The named columns, nulls where the file lacks one; other columns are left alone.

    `kind` is what an error calls the file, `mistaken` what others call our columns (that -> ours). UserError
    for a file that is not there or cannot be read, and for a column that has such a name, or our own with
    other capitals or spaces around it, where ours is not: it would be left alone.
    """
    parts = list(read_record_parts(source, columns, kind=kind, mistaken=mistaken))
    return pa.concat_tables(parts) if parts else pa.schema(columns).empty_table()


def read_record_parts(
    source: str, columns: Columns, *, kind: str, mistaken: Mapping[str, str] = MappingProxyType({})
) -> Iterator[pa.Table]:
    """The same, some rows at a time."""
    extension = source.rpartition(".")[2].lower()
    if extension not in READERS:
        raise UserError(f"{source}: a {kind} is a .csv, .jsonl or .parquet file")
    try:
        with open_file(source) as file:
            ours = {**mistaken, **{name: name for name in columns}}
            _refuse_other_names(_names(file, extension), ours, source, kind)
            file.seek(0)
            yield from READERS[extension](file, columns)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:  # KeyError: a column comes twice
        reason = " ".join(str(error).split())
        raise UserError(f"{source}: cannot be read as a .{extension} {kind} ({reason})") from error


def _names(file: Any, extension: str) -> list[str]:
    """Of the columns; none where they cannot be told, which reading the file will say."""
    try:
        return NAMES[extension](file)
    except (pa.ArrowException, ValueError, StopIteration, csv.Error, RecursionError):
        return []


def _names_of_line(line: bytes) -> list[str]:
    """Of an object in JSON."""
    found = json.loads(line)
    return list(found) if isinstance(found, dict) else []


def _refuse_other_names(names: Sequence[str], mistaken: Mapping[str, str], source: str, kind: str) -> None:
    for name in names:
        ours = mistaken.get(name.strip().lower())
        if ours is not None and ours not in names:
            raise UserError(f"{source}: has a column `{name}` and no `{ours}`, as a {kind} has it; rename it")


def require(rows: pa.Table, source: str, *names: str) -> pa.Table:
    """The rows as they are; UserError if there are none, or one has no value in a column of `names`."""
    if rows.num_rows == 0:
        raise UserError(f"{source}: has no rows")
    for name in names:
        values = rows[name].to_pylist()
        if None in values:
            raise UserError(f"{source}: row {values.index(None) + 1} has no `{name}`; fill it in")
    return rows


def _read_csv(file: Any, columns: Columns) -> Iterator[pa.Table]:
    batches = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(block_size=LONGEST_LINE),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(columns),
            include_missing_columns=True,  # as nulls
            column_types=dict(columns),  # an id 007 is no number
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    return (pa.Table.from_batches([batch]).select(list(columns)) for batch in batches)


def _read_jsonl(file: Any, columns: Columns) -> Iterator[pa.Table]:
    batches = pyarrow.json.open_json(
        file,
        read_options=pyarrow.json.ReadOptions(block_size=LONGEST_LINE),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=pa.schema(columns), unexpected_field_behavior="ignore"
        ),
    )
    return (pa.Table.from_batches([batch]).select(list(columns)) for batch in batches)


def _read_parquet(file: Any, columns: Columns) -> Iterator[pa.Table]:
    parquet = pyarrow.parquet.ParquetFile(file)
    there = [name for name in columns if name in parquet.schema_arrow.names]
    for batch in parquet.iter_batches(columns=there):
        rows = pa.Table.from_batches([batch])
        for name in columns:
            if name not in there:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, columns[name]))
        yield rows.select(list(columns)).cast(pa.schema(columns))


NAMES: dict[str, Callable[[Any], list[str]]] = {
    "parquet": lambda file: list(pyarrow.parquet.ParquetFile(file).schema_arrow.names),
    "csv": lambda file: next(csv.reader([file.readline().decode("utf-8-sig")])),
    "jsonl": lambda file: _names_of_line(file.readline()),
}
READERS: dict[str, Callable[[Any, Columns], Iterator[pa.Table]]] = {
    "parquet": _read_parquet,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}
