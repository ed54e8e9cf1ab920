"""Intervals of video with their vectors: clips with their features, windows as a model embeds them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.search.index import INTERVALS
from vbert.tables.schemas import unpack_vectors
from vbert.tasks.examples import Row, example_of, windows_of

NOTHING_SAID = dict.fromkeys(("captions", "question", "options", "labels"))


def clips_of(rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """The clips of rows of FEATURES: INTERVALS, and their vectors float32 [num_clips, dim]."""
    starts = rows["clip_start_seconds"].combine_chunks()
    owners = pc.list_parent_indices(starts)
    begins = starts.flatten()
    ends = pc.add(begins, rows["clip_seconds"].combine_chunks().take(owners))
    intervals = pa.table([rows["video_id"].combine_chunks().take(owners), begins, ends], schema=INTERVALS)
    return intervals, unpack_vectors(rows["features"])


def windows_in(documents: pa.Table, *, window_seconds: float) -> Iterator[Row]:
    """The windows of rows of DOCUMENTS that show something, as examples of which nothing is said."""
    for document in documents.to_pylist():
        about = {**NOTHING_SAID, "video_id": document["video_id"]}
        for window in windows_of(about, document, window_seconds=window_seconds):
            example = example_of(window, document)
            if example["visual_tokens"]:
                yield example


def intervals_of(windows: list[Row]) -> pa.Table:
    """INTERVALS of windows."""
    return pa.Table.from_pylist([{name: row[name] for name in INTERVALS.names} for row in windows], INTERVALS)
