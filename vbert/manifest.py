"""Manifests: a .parquet, .csv or .jsonl file that names videos, their transcripts and ids."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from vbert.errors import UserError
from vbert.listing import local_path, local_uri, open_file
from vbert.schemas import video_id_of

COLUMNS = {name: pa.string() for name in ("video", "transcript", "video_id")}

MANIFEST = pa.schema([("video_id", pa.string()), ("uri", pa.string()), ("transcript_uri", pa.string())])


def read_manifest(source: str) -> pa.Table:
    """The manifest's videos in its order, schema MANIFEST, without a look at the files it names.

    `video` is required, `transcript` and `video_id` are not; other columns are left alone. A path is
    absolute, a URL, or relative to the manifest's folder. UserError for a manifest that cannot be read, that
    names no video in some row, or that names a video or an id twice.
    """
    extension = source.rpartition(".")[2].lower()
    try:
        with open_file(source) as file:
            rows = READERS[extension](file)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{source}: cannot be read as a .{extension} manifest ({reason})") from error

    folder = (local_path(source) or source).rpartition("/")[0]
    uris = [_resolve(value, folder) for value in rows["video"].to_pylist()]
    if not any(uris):
        raise UserError(f"{source}: names no video; give it a column `video` of paths or URLs")
    if None in uris:
        raise UserError(
            f"{source}: row {uris.index(None) + 1} names no video; fill in its `video` or remove it"
        )
    transcript_uris = [_resolve(value, folder) for value in rows["transcript"].to_pylist()]
    ids = [
        given or video_id_of(str(uri)) for given, uri in zip(rows["video_id"].to_pylist(), uris, strict=True)
    ]
    for column, values in (("video", uris), ("video_id", ids)):
        twice = _first_duplicate(values)
        if twice is not None:
            raise UserError(f"{source}: {column} {twice} stands there twice; remove one")
    return pa.table([ids, uris, transcript_uris], schema=MANIFEST)


def _read_csv(file: Any) -> pa.Table:
    return pyarrow.csv.read_csv(
        file,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(COLUMNS),
            include_missing_columns=True,  # as nulls
            column_types=COLUMNS,  # an id 007 is no number
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _read_jsonl(file: Any) -> pa.Table:
    return pyarrow.json.read_json(
        file,
        read_options=pyarrow.json.ReadOptions(block_size=2**26),  # 64 MiB: a line has to fit
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=pa.schema(COLUMNS), unexpected_field_behavior="ignore"
        ),
    )


def _read_parquet(file: Any) -> pa.Table:
    parquet = pyarrow.parquet.ParquetFile(file)
    rows = parquet.read(columns=[name for name in COLUMNS if name in parquet.schema_arrow.names])
    for name in COLUMNS:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows.select(list(COLUMNS)).cast(pa.schema(COLUMNS))


READERS: dict[str, Callable[[Any], pa.Table]] = {
    "parquet": _read_parquet,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}


def _resolve(value: str | None, folder: str) -> str | None:
    """The uri of a manifest's entry; an empty one is none."""
    if not value:
        return None
    uri = value if "://" in value or value.startswith("/") else f"{folder}/{value}"
    path = local_path(uri)
    return uri if path is None else local_uri(path)


def _first_duplicate(values: list[Any]) -> str | None:
    seen = set()
    for value in values:
        if value in seen:
            return str(value)
        seen.add(value)
    return None
