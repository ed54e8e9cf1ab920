"""Examples as Arrow tables, and on disk: a folder of files that fine-tuning writes once and its workers read.

Parquet holds all but the continuous features. Those are 25 GB for 100,000 examples of 100 clips: they lie in
Arrow files that are mapped into memory, and are read where they lie, an example at a time.
"""

import shutil
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vbert.storage.files import filesystem_of, local_path
from vbert.tasks.examples import EXAMPLES, Row

VIDEO_COLUMNS = ("visual_tokens", "visual_token_start_seconds", "clip_seconds", "said")
FEATURES = "features"
VECTORS = pa.schema([(FEATURES, pa.list_(pa.list_(pa.float16())))])  # one a clip
CLIPS_AT_ONCE = 16_384  # of 1,280 float16: 42 MB


def table_of(rows: Sequence[Row], *, with_features: bool) -> pa.Table:
    """Rows of EXAMPLES, and with their `features` float16 [num_clips, F], as a table."""
    table = pa.Table.from_pylist([{**row, FEATURES: None} for row in rows], schema=EXAMPLES)
    return table.append_column(VECTORS.field(FEATURES), _packed(rows)) if with_features else table


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The same back."""
    if FEATURES not in table.column_names:
        found: list[dict[str, Any]] = table.to_pylist()
        return found
    vectors = [_unpacked(one) for chunk in table[FEATURES].chunks for one in _one_by_one(chunk)]
    rows = table.drop_columns([FEATURES]).to_pylist()
    return [{**row, FEATURES: mine} for row, mine in zip(rows, vectors, strict=True)]


def write_file(uri: str, parts: Iterable[Sequence[Row]], *, with_features: bool) -> None:
    """Rows as `<uri>.parquet`, and their features, which are written part by part, as `<uri>.arrow`."""
    filesystem, path = filesystem_of(uri)
    kept = [EXAMPLES.empty_table()]
    with ExitStack() as stack:
        if with_features:
            file = stack.enter_context(filesystem.open(f"{path}.arrow", "wb"))
            writer = stack.enter_context(pa.ipc.new_file(file, VECTORS))
        for part in parts:
            kept.append(table_of(part, with_features=False))
            for rows in in_parts(part) if with_features else ():
                writer.write_batch(pa.record_batch([_packed(rows)], schema=VECTORS))
    with filesystem.open(f"{path}.parquet", "wb") as file:
        pq.write_table(pa.concat_tables(kept), file, compression="zstd")


class ExampleStore:
    """All examples of a folder or bucket: their tokens in Arrow's memory, 120 MB for 100,000 examples of 100
    visual tokens; Python has the columns of annotations alone."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        filesystem, path = filesystem_of(uri)
        names = sorted(filesystem.ls(path, detail=False))
        parts = [
            pq.read_table(name, filesystem=filesystem, schema=EXAMPLES)
            for name in names
            if name.endswith(".parquet")
        ]
        self.table = pa.concat_tables([EXAMPLES.empty_table(), *parts]).combine_chunks()
        self._vector_files = [name for name in names if name.endswith(".arrow")]

    def rows(self, *splits: str) -> list[dict[str, Any]]:
        """Examples of some splits that have clips, without their video, each with its place `at` in the
        store."""
        annotations = self.table.drop_columns(list(VIDEO_COLUMNS)).to_pylist()
        num_clips = pc.list_value_length(self.table["visual_tokens"]).to_pylist()
        found = ({**row, "at": at} for at, row in enumerate(annotations) if num_clips[at])
        return [row for row in found if row["split"] in splits]

    def with_video(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their video; what a task has put together has it in each of its intervals."""
        if rows and "intervals" in rows[0]:
            return [{**row, "intervals": self.with_video(row["intervals"])} for row in rows]
        video = self.table.select(list(VIDEO_COLUMNS)).take([row["at"] for row in rows]).to_pylist()
        return [{**row, **mine, **self._features(row["at"])} for row, mine in zip(rows, video, strict=True)]

    def _features(self, at: int) -> dict[str, np.ndarray]:
        """Of one example; nothing, if the store has none."""
        if not self._vector_files:
            return {}
        ends, columns = self._mapped
        number = bisect_right(ends, at)
        first = ends[number - 1] if number else 0
        return {FEATURES: _unpacked(columns[number].slice(at - first, 1))}

    @cached_property
    def _mapped(self) -> tuple[list[int], list[pa.ListArray]]:
        """One past the last example of each batch of the files, and its features, in mapped memory."""
        readers = [pa.ipc.open_file(pa.memory_map(str(file))) for file in self._local_files()]
        columns = [
            reader.get_batch(number).column(FEATURES)
            for reader in readers
            for number in range(reader.num_record_batches)
        ]
        return np.cumsum([len(column) for column in columns]).tolist(), columns

    def _local_files(self) -> list[Path]:
        """Those of a bucket are copied, for as long as the store is there."""
        if local_path(self._uri) is not None:
            return [Path(name) for name in self._vector_files]
        filesystem, _ = filesystem_of(self._uri)
        folder = mkdtemp(prefix="vbert-examples-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copies = [Path(folder) / Path(name).name for name in self._vector_files]
        for name, copy in zip(self._vector_files, copies, strict=True):
            filesystem.get_file(name, str(copy))
        return copies


def in_parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Parts of examples, or of documents, with at most CLIPS_AT_ONCE clips, or one row."""
    first = num_clips = 0
    for at, row in enumerate(rows):
        mine = len(row["visual_tokens"])
        if at > first and num_clips + mine > CLIPS_AT_ONCE:
            yield rows[first:at]
            first, num_clips = at, 0
        num_clips += mine
    if first < len(rows):
        yield rows[first:]


def _packed(rows: Sequence[Row]) -> pa.ListArray:
    """Their vectors as a column."""
    vectors = [row[FEATURES] for row in rows]
    dim = max((mine.shape[1] for mine in vectors), default=0)
    flat = np.concatenate([np.zeros(0, np.float16), *(mine.ravel() for mine in vectors)])
    clips = np.cumsum([0, *map(len, vectors)])
    inner = pa.ListArray.from_arrays(pa.array(np.arange(clips[-1] + 1) * dim, pa.int32()), pa.array(flat))
    return pa.ListArray.from_arrays(pa.array(clips, pa.int32()), inner)


def _one_by_one(column: pa.ListArray) -> Iterator[pa.ListArray]:
    return (column.slice(at, 1) for at in range(len(column)))


def _unpacked(one: pa.ListArray) -> np.ndarray:
    """The vectors float16 [num_clips, F] of a column of one row, where they lie."""
    clips = one.flatten()
    values: np.ndarray = clips.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(clips), -1) if len(clips) else values.reshape(0, 0)
