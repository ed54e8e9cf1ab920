"""Manifests: a .parquet, .csv or .jsonl file that names videos, their transcripts and ids."""

import posixpath
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.corpus.set_aside import SetAside
from vbert.errors import UserError
from vbert.storage.files import local_path, local_uri
from vbert.storage.records import read_record_parts
from vbert.storage.secrets import refuse_secrets
from vbert.storage.spilling import add_rows, create_table, read_all, read_parts, spilling_database
from vbert.tables.schemas import video_id_of

COLUMNS = {name: pa.string() for name in ("video", "transcript", "video_id")}

NO_VIDEO = "{source}: names no video; give it a column `video` of paths or URLs"

MANIFEST = pa.schema([("video_id", pa.string()), ("uri", pa.string()), ("transcript_uri", pa.string())])
LINES = pa.schema([("row_number", pa.int64()), *MANIFEST])


def read_manifest(source: str) -> pa.Table:
    """The videos of `manifest_parts`."""
    return pa.concat_tables(manifest_parts(source, SetAside()))


def manifest_parts(source: str, set_aside: SetAside) -> Iterator[pa.Table]:
    """The manifest's videos sorted by uri, schema MANIFEST, some at a time but those of a folder together;
    without a look at the files it names.

    `video` is required, `transcript` and `video_id` are not; other columns are left alone. A path is
    absolute, a URL, or relative to the manifest's folder, where `..` goes up as in a shell: a manifest may
    name whatever the job may read, so it comes from whom the job's owner trusts with that. `set_aside` counts
    the lines that say again what another one says.

    UserError for a manifest that cannot be read, that names no video in some row, or that names a video or an
    id twice.
    """
    database = spilling_database()
    create_table(database, "lines", LINES)
    num_rows = 0
    for part in read_record_parts(source, COLUMNS, kind="manifest"):
        add_rows(database, "lines", _resolved(part, source, num_rows))
        num_rows += part.num_rows
    if not num_rows:
        raise UserError(NO_VIDEO.format(source=source))
    database.execute(
        "create table videos as select video_id, uri, transcript_uri, min(row_number) as row_number "
        "from lines group by all"
    )
    database.execute("drop table lines")
    for column, name in (("video", "uri"), ("video_id", "video_id")):
        query = (
            f"select {name} from videos group by all having count(*) > 1 "  # nosec B608
            "order by min(row_number) limit 1"
        )
        for (value,) in read_all(database, query):
            raise UserError(f"{source}: {column} {value} stands there twice; remove one")
    num_videos = 0
    query = "select video_id, uri, transcript_uri from videos order by uri"
    for part in _folders_together(read_parts(database, query, MANIFEST)):
        num_videos += part.num_rows
        yield part
    set_aside.num_repeated += num_rows - num_videos


def _folders_together(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Rows sorted by uri, cut where a folder ends: a folder of a store is listed once."""
    kept: list[pa.Table] = []
    for part in parts:
        kept.append(part)
        last = part["uri"][-1].as_py().rpartition("/")[0] + "/"
        together = pa.concat_tables(kept)
        is_last = pc.starts_with(together["uri"], last).to_numpy()
        is_whole = np.flatnonzero(~is_last)
        num_whole = int(is_whole[-1]) + 1 if len(is_whole) else 0
        if num_whole:
            yield together.slice(0, num_whole)
        kept = [together.slice(num_whole)]
    yield from kept


def _resolved(part: pa.Table, source: str, num_before: int) -> pa.Table:
    """Lines of a manifest -> row_number, video_id, uri, transcript_uri."""
    folder = (local_path(source) or source).rpartition("/")[0]
    uris = [_resolve(value, folder) for value in part["video"].to_pylist()]
    if not num_before and not any(uris):
        raise UserError(NO_VIDEO.format(source=source))
    if None in uris:
        number = num_before + uris.index(None) + 1
        raise UserError(f"{source}: row {number} names no video; fill in its `video` or remove it")
    transcript_uris = [_resolve(value, folder) for value in part["transcript"].to_pylist()]
    ids = [
        given or video_id_of(str(uri)) for given, uri in zip(part["video_id"].to_pylist(), uris, strict=True)
    ]
    numbers = range(num_before + 1, num_before + 1 + len(uris))
    for number, *named in zip(numbers, uris, transcript_uris, strict=True):
        if any("\0" in uri for uri in named if uri):
            raise UserError(f"{source}: row {number} holds a zero byte, which no path has; write it again")
        for uri in named:
            try:
                refuse_secrets(uri or "")
            except UserError as error:
                raise UserError(f"{source}: row {number}: {error}") from error
    return pa.table([list(numbers), ids, uris, transcript_uris], schema=LINES)


def _resolve(value: str | None, folder: str) -> str | None:
    """The uri of a manifest's entry; an empty one is none."""
    if not value:
        return None
    is_relative = "://" not in value and not value.startswith("/")
    if is_relative and "://" in folder:
        return _resolve_in_bucket(value, folder)
    uri = f"{folder}/{value}" if is_relative else value
    path = local_path(uri)
    return uri if path is None else local_uri(path)


def _resolve_in_bucket(value: str, folder: str) -> str:
    """The uri of a relative entry, `..` resolved. UserError if it leads out of the bucket."""
    protocol, _, place = folder.partition("://")
    path = posixpath.normpath(f"{place}/{value}")
    if path.split("/")[0] != place.split("/")[0]:
        raise UserError(
            f"{folder}/{value}: leads out of {protocol}://{place.split('/')[0]}; correct the manifest"
        )
    return f"{protocol}://{path}"
