"""Annotations: what is known of intervals of videos, in one schema for all tasks."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vbert.corpus.names import names_of
from vbert.documents.sequences import random_generator
from vbert.errors import UserError
from vbert.storage.records import read_records, require

ANNOTATIONS = pa.schema(
    [
        ("video_id", pa.string()),
        ("split", pa.string()),  # train | validation | test
        ("start_seconds", pa.float64()),  # null, like the end: the whole video
        ("end_seconds", pa.float64()),
        ("labels", pa.list_(pa.string())),
        ("captions", pa.list_(pa.string())),
        ("question", pa.string()),
        ("question_type", pa.string()),
        ("answer", pa.string()),
        ("options", pa.list_(pa.string())),  # of a multiple-choice question; `answer` is one of them
        ("importance", pa.float64()),
    ]
)
LISTS = ("labels", "captions", "options")
SPLITS = ("train", "validation", "test")
SHARES = (0.8, 0.1, 0.1)  # of the videos, where a file has no splits


# What others call our columns.
MISTAKEN = {
    **dict.fromkeys(("video", "id", "name", "video_name", "youtube_id", "vid"), "video_id"),
    **dict.fromkeys(("start", "begin", "start_time", "time_start", "t_start", "from"), "start_seconds"),
    **dict.fromkeys(("end", "stop", "end_time", "time_end", "t_end", "to"), "end_seconds"),
    **dict.fromkeys(("label", "class", "category", "action", "activity"), "labels"),
    **dict.fromkeys(("caption", "sentence", "description", "text"), "captions"),
    **dict.fromkeys(("subset", "fold", "set"), "split"),
    **dict.fromkeys(("choices", "candidates"), "options"),
}


def read_records_of_ones_own(source: str) -> pa.Table:
    """A .csv, .jsonl or .parquet file with columns of ANNOTATIONS; those that it lacks are null.

    In a .csv a list is JSON, `["cut", "onion"]`, or one text. Without a `split`, videos are dealt out by a
    hash of their id, 80, 10 and 10 %. UserError for what cannot be right, with the row.
    """
    columns = {field.name: field.type for field in ANNOTATIONS}
    if source.lower().endswith(".csv"):
        columns |= dict.fromkeys(LISTS, pa.string())
    read = read_records(source, columns, kind="list of annotations", mistaken=MISTAKEN)
    rows = require(read, source, "video_id").to_pylist()
    for number, row in enumerate(rows, start=1):
        for name in LISTS:
            if isinstance(row[name], str):
                row[name] = _list_of(row[name])
        row["split"] = row["split"] or split_of(row["video_id"])
        wrong = _what_is_wrong(row)
        if wrong:
            raise UserError(f"{source}: row {number} (video {row['video_id']}): {wrong}")
    return pa.Table.from_pylist(rows, schema=ANNOTATIONS)


def _list_of(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [text]
    try:
        found = json.loads(text)
    except ValueError:
        return [text]  # "[music]" is a caption
    return found if isinstance(found, list) and all(isinstance(part, str) for part in found) else [text]


def split_of(video_id: str) -> str:
    """The split that a hash deals a video to, the same everywhere."""
    return str(random_generator("split", video_id).choice(SPLITS, p=SHARES))


def _what_is_wrong(row: Mapping[str, Any]) -> str | None:
    start, end = row["start_seconds"], row["end_seconds"]
    if row["split"] not in SPLITS:
        return f"split {row['split']!r} is none of {', '.join(SPLITS)}"
    if (start is None) != (end is None):
        return "has one of start_seconds and end_seconds; give both, or neither for the whole video"
    if start is not None and not 0 <= start < end < math.inf:
        return (
            f"start_seconds {start} and end_seconds {end} must not be negative, and the start before the end"
        )
    if row["importance"] is not None and not math.isfinite(row["importance"]):
        return f"importance {row['importance']} is no number"
    if row["options"] and row["answer"] is not None and row["answer"] not in row["options"]:
        return f"answer {row['answer']!r} is none of the options {', '.join(row['options'])}"
    return None


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Annotations of videos that are in a table, under the ids that they have there."""

    annotations: pa.Table
    missing: list[str]
    """Ids of annotated videos that are not in the table."""


def match_videos(annotations: pa.Table, documents: pa.Table) -> Matched:
    """Find annotated videos among documents (columns video_id and uri), as `names_of` has their names."""
    known = names_of(documents).ids
    ids = [known.get(video_id) for video_id in annotations["video_id"].to_pylist()]
    place = annotations.column_names.index("video_id")
    named = annotations.set_column(place, "video_id", pa.array(ids, pa.string()))
    missing = {old for old, new in zip(annotations["video_id"].to_pylist(), ids, strict=True) if new is None}
    return Matched(annotations=named.filter(pc.is_valid(named["video_id"])), missing=sorted(missing))


def match_some(annotations: pa.Table, documents: pa.Table, *, source: str, tables: str) -> Matched:
    """`match_videos`; UserError, which names the file and the tables, if it finds none."""
    matched = match_videos(annotations, documents)
    if matched.annotations.num_rows == 0:
        raise UserError(
            f"{source}: none of its {len(matched.missing)} videos (such as {matched.missing[0]}) is in the "
            f"documents of {tables}; are its video_id those of the table, or names of its files?"
        )
    return matched


def listed_videos(source: str, documents: pa.Table, *, tables: str) -> set[str]:
    """The ids of the videos that a .csv, .jsonl or .parquet file lists, found as `match_videos` finds them.

    UserError if none is among the documents of `tables`.
    """
    matched = match_some(read_list(source), documents, source=source, tables=tables)
    return set(matched.annotations["video_id"].to_pylist())


def read_list(source: str) -> pa.Table:
    """The column video_id of such a file, as it stands there. UserError if it has none."""
    rows = read_records(source, {"video_id": pa.string()}, kind="list of videos")
    return require(rows, source, "video_id")


def require_any(annotations: pa.Table, source: str, columns: Sequence[str]) -> None:
    """UserError if a column that a task needs has no value at all."""
    for name in columns:
        if annotations[name].null_count == annotations.num_rows:
            raise UserError(f"{source}: no annotation has `{name}`, which the task needs")
