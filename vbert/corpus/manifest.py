"""Manifests: a .parquet, .csv or .jsonl file that names videos, their transcripts and ids."""

import posixpath
from typing import Any

import pyarrow as pa

from vbert.errors import UserError
from vbert.storage.files import local_path, local_uri
from vbert.storage.records import read_records
from vbert.storage.secrets import refuse_secrets
from vbert.tables.schemas import video_id_of

COLUMNS = {name: pa.string() for name in ("video", "transcript", "video_id")}

MANIFEST = pa.schema([("video_id", pa.string()), ("uri", pa.string()), ("transcript_uri", pa.string())])


def read_manifest(source: str) -> pa.Table:
    """The videos of `read_manifest_lines`."""
    return read_manifest_lines(source)[0]


def read_manifest_lines(source: str) -> tuple[pa.Table, int]:
    """The manifest's videos in its order, schema MANIFEST, without a look at the files it names.

    `video` is required, `transcript` and `video_id` are not; other columns are left alone. A path is
    absolute, a URL, or relative to the manifest's folder, where `..` goes up as in a shell: a manifest may
    name whatever the job may read, so it comes from whom the job's owner trusts with that. And how many lines
    say again what an earlier one says.

    UserError for a manifest that cannot be read, that names no video in some row, or that names a video or an
    id twice.
    """
    rows = read_records(source, COLUMNS, kind="manifest")
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
    for number, named in enumerate(zip(uris, transcript_uris, strict=True), start=1):
        if any("\0" in uri for uri in named if uri):
            raise UserError(f"{source}: row {number} holds a zero byte, which no path has; write it again")
        for uri in named:
            try:
                refuse_secrets(uri or "")
            except UserError as error:
                raise UserError(f"{source}: row {number}: {error}") from error
    lines = list(dict.fromkeys(zip(ids, uris, transcript_uris, strict=True)))
    num_repeated = len(ids) - len(lines)
    ids, uris, transcript_uris = (list(column) for column in zip(*lines, strict=True))
    for column, values in (("video", uris), ("video_id", ids)):
        twice = _first_duplicate(values)
        if twice is not None:
            raise UserError(f"{source}: {column} {twice} stands there twice; remove one")
    return pa.table([ids, uris, transcript_uris], schema=MANIFEST), num_repeated


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


def _first_duplicate(values: list[Any]) -> str | None:
    seen = set()
    for value in values:
        if value in seen:
            return str(value)
        seen.add(value)
    return None
