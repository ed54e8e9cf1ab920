"""Videos that somebody wants forgotten: a note beside the tables, by which no job takes them up again.

A note is named by a hash of the video's id and says when it was made, and nothing of the video.
"""

import time
from collections.abc import Iterable, Iterator

import pyarrow as pa

from vbert.corpus.set_aside import SetAside
from vbert.storage.files import names_in, write_json
from vbert.tables.schemas import short_hash

FOLDER = "forgotten"


def note_forgotten(tables: str, video_id: str) -> None:
    """From now on the video is left out of every corpus that goes into these tables."""
    write_json(f"{_folder(tables)}/{short_hash(video_id)}.json", {"forgotten_at": time.time()})


def num_forgotten(tables: str) -> int:
    """How many videos these tables are not to have."""
    return len(_notes(tables))


def without_forgotten(
    corpus: Iterable[pa.Table], tables: str, set_aside: SetAside | None = None
) -> Iterator[pa.Table]:
    """The rows of a corpus whose videos have not been forgotten, which `set_aside` counts; its parts have a
    column video_id."""
    notes = _notes(tables)
    for part in corpus:
        rest = part
        if notes:
            kept = [short_hash(video_id) not in notes for video_id in part["video_id"].to_pylist()]
            rest = part.filter(pa.array(kept, pa.bool_()))
        if set_aside is not None:
            set_aside.num_forgotten += part.num_rows - rest.num_rows
        yield rest


def _folder(tables: str) -> str:
    return f"{tables.rstrip('/')}/{FOLDER}"


def _notes(tables: str) -> set[str]:
    return {name.removesuffix(".json") for name in names_in(_folder(tables)) if name.endswith(".json")}
