"""Documents: tokens and sentences of a video in time order, and which tokens a sentence takes."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vbert.documents.assembly import build_document, count_late_sentences, tokens_of_sentences
from vbert.tables.schemas import DOCUMENTS
from vbert.text.transcripts import Sentence

VIDEO = {
    "video_id": "v",
    "uri": "/videos/v.mp4",
    "fingerprint": "f",
    "transcript_fingerprint": "t",
    "duration_seconds": 9.4,
}


def sentence(text: str, start_seconds: float, end_seconds: float) -> Sentence:
    return Sentence(text=text, start_seconds=start_seconds, end_seconds=end_seconds)


def segment(*starts: float) -> dict[str, Any]:
    return {"clip_seconds": 1.5, "clip_start_seconds": list(starts)}


def test_everything_is_put_in_time_order():
    document = build_document(
        VIDEO,
        [segment(6.0, 7.5), segment(0.0, 1.5, 3.0)],  # the clip at 4.5 was dropped
        [np.array([7, 8], np.int32), np.array([3, 1, 4], np.int32)],
        [sentence("Second.", 5.0, 6.0), sentence("First.", 0.5, 2.0)],
        vocabulary="w",
    )
    assert document == {
        "video_id": "v",
        "vocabulary": "w",
        "uri": "/videos/v.mp4",
        "fingerprint": "f",
        "transcript_fingerprint": "t",
        "duration_seconds": 9.4,
        "clip_seconds": 1.5,
        "visual_tokens": [3, 1, 4, 7, 8],
        "visual_token_start_seconds": [0.0, 1.5, 3.0, 6.0, 7.5],
        "sentences": ["First.", "Second."],
        "sentence_start_seconds": [0.5, 5.0],
        "sentence_end_seconds": [2.0, 6.0],
    }
    as_table = pa.Table.from_pylist([document], schema=DOCUMENTS.schema)
    assert as_table.select(list(document)).to_pylist() == [document]


def test_a_clip_that_comes_twice_is_a_bug_and_stops():
    with pytest.raises(AssertionError, match="comes twice"):
        build_document(
            VIDEO,
            [segment(0.0), segment(0.0)],
            [np.array([1], np.int32), np.array([2], np.int32)],
            [],
            vocabulary="w",
        )


# Clips at 0, 1.5, 3 and, after a gap, 6: their middles are 0.75, 2.25, 3.75 and 6.75.
@pytest.mark.parametrize(
    ("start_seconds", "end_seconds", "tokens"),
    [
        (0.0, 4.5, [0, 1, 2]),
        (0.75, 2.25, [0, 1]),  # both ends count
        (0.76, 2.24, [1]),  # no clip's middle in it: the clip that begins at its own middle, 1.5 s
        (1.6, 1.9, [1]),  # shorter than a clip: the one on screen
        (2.3, 7.0, [2, 3]),
        (4.6, 5.8, []),  # nothing on screen: that clip was dropped
        (7.0, 7.2, [3]),
        (7.6, 9.0, []),  # past the end
        (100.0, 101.0, []),
    ],
)
def test_a_sentence_takes_the_tokens_in_its_span(start_seconds: float, end_seconds: float, tokens: list[int]):
    document = build_document(
        VIDEO,
        [segment(0.0, 1.5, 3.0, 6.0)],
        [np.arange(4, dtype=np.int32)],
        [sentence("?", start_seconds, end_seconds)],
        vocabulary="w",
    )
    ((first, last),) = tokens_of_sentences(document)
    assert list(range(first, last)) == tokens


def test_no_sentence_takes_no_token():
    document = build_document(VIDEO, [segment(0.0)], [np.array([1], np.int32)], [], vocabulary="w")
    assert tokens_of_sentences(document).shape == (0, 2)


@pytest.mark.parametrize(("duration_seconds", "num_late"), [(None, 0), (5.0, 2), (5.1, 1), (9.0, 0)])
def test_sentences_after_the_end_are_counted(duration_seconds: float | None, num_late: int):
    document = {"duration_seconds": duration_seconds, "sentence_start_seconds": [0.0, 4.9, 5.0, 8.0]}
    assert count_late_sentences(document) == num_late
