"""What the readers share: JSON, lines and columns of the files that a data set's authors distribute.

What is not there or not as it should be is a UserError of one line with the place in the file.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vbert.documents.sequences import random_generator
from vbert.errors import UserError
from vbert.storage.files import filesystem_of, names_in, open_file
from vbert.storage.records import read_records, require

Rows = Iterable[dict[str, Any]]

MAX_SECONDS = 10_000 * 3600.0
HELD_OUT_SHARE = 0.1
# What the data sets call their splits.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
EXTENSIONS = (".json", ".csv", ".tsv", ".txt", ".mat")


def read_json(uri: str) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(_read(uri))
    except ValueError as error:
        raise UserError(f"{uri}: not JSON ({error})") from error


def read_lines(uri: str) -> list[tuple[str, str]]:
    """A text file's lines that are not empty, each with its place, as an error is to name it."""
    try:
        text = _read(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{uri}: not text in UTF-8 ({error.reason} at byte {error.start})") from error
    lines = enumerate(text.splitlines(), start=1)
    return [(f"{uri}: line {number}", line.strip()) for number, line in lines if line.strip()]


def matched_lines(uri: str, pattern: str, *, kind: str) -> list[tuple[str, re.Match[str]]]:
    """The lines, each with its place, that are all to match a pattern; `kind` is what an error calls them."""
    found = []
    for where, line in read_lines(uri):
        match = re.fullmatch(pattern, line)
        if match is None:
            raise UserError(
                f"{where}: {line[:60]!r} is no {kind}; is this the data set that --dataset names?"
            )
        found.append((where, match))
    return found


def read_columns(uri: str, *names: str, optional: Sequence[str] = ()) -> list[tuple[str, dict[str, Any]]]:
    """Columns of a .csv with a header, as text, each row with its place; `optional` ones may be null."""
    columns = dict.fromkeys((*names, *optional), pa.string())
    rows = require(read_records(uri, columns, kind="list of a data set"), uri, *names)
    return [(f"{uri}: row {number}", row) for number, row in enumerate(rows.to_pylist(), start=1)]


def _read(uri: str) -> bytes:
    try:
        with open_file(uri) as file:
            content: bytes = file.read()
    except OSError as error:
        raise UserError(
            f"{uri}: cannot be read ({error.strerror or error}); correct --annotations"
        ) from error
    return content


def content_of(source: str, name: str, *, key: str) -> tuple[str, Mapping[str, Any]]:
    """The uri of a JSON file, which `source` is or which lies in it, and the object under its key."""
    uri = source if source.endswith(".json") else f"{source.rstrip('/')}/{name}"
    content = field(read_json(uri), key, uri)
    if not isinstance(content, dict):
        raise UserError(f"{uri}: `{key}` is no object by video id; give the file {name}")
    return uri, content


def field(entry: Any, name: str, where: str) -> Any:
    """A value of a JSON object."""
    if not isinstance(entry, dict) or name not in entry:
        raise UserError(f"{where}: has no `{name}`; is this the data set that --dataset names?")
    return entry[name]


def span(segment: Any, where: str) -> dict[str, float]:
    """Start and end; a segment that is the wrong way round, as some are, is put in order."""
    try:
        start, end = sorted(max(0.0, seconds) for seconds in map(float, segment))
        if not all(abs(float(seconds)) < MAX_SECONDS for seconds in segment):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {segment!r} is no pair of seconds") from error
    return {"start_seconds": start, "end_seconds": max(end, start + 1e-3)}


def clock_seconds(time: str, where: str) -> float:
    """Seconds of `1:02:03.45`, `5:54` or `354`."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", time):
        raise UserError(f"{where}: {time!r} is no time such as 00:05:54.25")
    seconds = 0.0
    for part in time.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def split_called(name: Any, where: str) -> str:
    """train, validation or test of what the authors call it."""
    if name not in SPLIT_NAMES:
        raise UserError(f"{where}: {name!r} is no split; known are {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[name]


def held_out(split: str, group: str) -> str:
    """The split, where the authors have none for validation: a tenth of the training videos, by a hash of
    the group that a video is one of (videos cut from one recording must not be on both sides)."""
    is_out = split == "train" and random_generator("held out", group).random() < HELD_OUT_SHARE
    return "validation" if is_out else split


def folder_of(source: str) -> str:
    """The folder that `source` is, or that its file lies in."""
    return source.rpartition("/")[0] or "." if source.endswith(EXTENSIONS) else source.rstrip("/")


def exists(uri: str) -> bool:
    """Whether there is such a file."""
    filesystem, path = filesystem_of(uri)
    return bool(filesystem.exists(path))


def present(folder: str, *names: str) -> list[str]:
    """Those of some files that are in a folder."""
    return [uri for uri in (f"{folder}/{name}" for name in names) if exists(uri)]


def listed(folder: str) -> list[str]:
    """What lies in a folder, sorted by name; nothing where there is none."""
    return [f"{folder}/{name}" for name in names_in(folder)]
