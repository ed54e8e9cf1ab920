"""Clips and windows, against values written by hand."""

import numpy as np
import pyarrow as pa

from tests.table_rows import DIM, feature_rows
from tests.tiny import document
from vbert.search.intervals import clips_of, intervals_of, windows_in
from vbert.tables.schemas import DOCUMENTS


def test_each_clip_has_its_times_and_its_own_vector():
    intervals, vectors = clips_of(feature_rows("ab", segments=2))
    assert [tuple(row.values()) for row in intervals.to_pylist()[:3]] == [
        ("a", 0.0, 1.5),
        ("a", 1.5, 3.0),
        ("a", 3.0, 4.5),
    ]
    assert intervals["video_id"].to_pylist() == list("aaaabbbb")
    assert vectors.shape == (8, DIM)
    np.testing.assert_array_equal(vectors[:, 0], [97, 97, 97.125, 97.125, 98, 98, 98.125, 98.125])


def test_windows_hold_the_tokens_of_their_time_and_empty_ones_are_left_out():
    rows = [document("p", tokens=[4, 5, 6, 7, 8]), document("empty", tokens=[])]
    windows = list(windows_in(pa.Table.from_pylist(rows, schema=DOCUMENTS.schema), window_seconds=3.0))
    # 7.5 s are two windows and a half, the last as long as the others: rounded as predict does.
    assert [window["visual_tokens"] for window in windows] == [[4, 5], [6, 7, 8]]
    assert [(row["start_seconds"], row["end_seconds"]) for row in intervals_of(windows).to_pylist()] == [
        (0.0, 3.0),
        (3.0, 7.5),
    ]
