"""A database of one process for what may not fit the memory: what is too much of it lies on local disk."""

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

MEMORY = "256MB"  # 10 million rows of a corpus take 2 GB
ROWS_PER_PART = 65_536
FOLDER_PREFIX = "vbert-spill-"


def spilling_database() -> "duckdb.DuckDBPyConnection":
    """A DuckDB database that is gone with the connection; its folder is in TMPDIR."""
    import duckdb  # 30 ms, which only who compares a corpus pays

    folder = tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX)
    settings = {"memory_limit": MEMORY, "temp_directory": folder.name, "threads": "2"}
    database = duckdb.connect(config={**settings, "preserve_insertion_order": "false"})
    weakref.finalize(database, folder.cleanup)
    return database


def read_parts(
    database: "duckdb.DuckDBPyConnection", query: str, schema: pa.Schema, *, rows: int | None = None
) -> Iterator[pa.Table]:
    """The rows of a query, so many at a time, else ROWS_PER_PART; none is empty."""
    for batch in database.cursor().sql(query).to_arrow_reader(rows or ROWS_PER_PART):
        if batch.num_rows:
            yield pa.Table.from_batches([batch]).cast(schema)


def read_all(database: "duckdb.DuckDBPyConnection", query: str) -> list[tuple[Any, ...]]:
    """The rows of a query that gives few."""
    return database.cursor().sql(query).fetchall()


def count_rows(database: "duckdb.DuckDBPyConnection", rows: str) -> int:
    """How many there are of what stands behind a `from`: a table, joins, a condition."""
    ((number,),) = read_all(database, f"select count(*) from {rows}")  # nosec B608
    return int(number)


def create_table(
    database: "duckdb.DuckDBPyConnection", table: str, schema: pa.Schema, parts: Iterable[pa.Table] = ()
) -> None:
    """A table of the database with an Arrow schema's columns, and the rows of parts that have them."""
    database.register("no_rows", schema.empty_table())
    database.execute(f"create table {table} as from no_rows")
    database.unregister("no_rows")
    for part in parts:
        add_rows(database, table, part.select(schema.names))


def add_rows(database: "duckdb.DuckDBPyConnection", table: str, rows: pa.Table) -> None:
    """Append to a table of the database, column by column as they stand."""
    database.register("added_rows", rows)
    database.execute(f"insert into {table} select * from added_rows")  # nosec B608
    database.unregister("added_rows")
