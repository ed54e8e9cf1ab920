"""What is left out of documents, by values written down."""

from typing import Any

import numpy as np
import pytest

from tests.tiny import cooking, vocabulary
from vbert.documents.exclusion import clip_exclusions, with_exclusion, without_excluded
from vbert.documents.sequences import SequenceConfig, sequences_of_documents

# A dark still, a still, a cut in the dark, a clip as it should be, one of a single frame.
SEGMENT = {
    "clip_start_seconds": [0.0, 1.5, 3.0, 4.5, 6.0],
    "motion": [0.1, 0.49, 9.0, 0.5, None],
    "brightness": [2.0, 90.0, 9.9, 10.0, 80.0],
    "sharpness": [0.0] * 5,
    "cut": [0.0, 3.0, 40.0, 39.9, None],
}


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        ((), [0, 0, 0, 0, 0]),
        (("black",), [1, 0, 1, 0, 0]),
        (("stills",), [2, 2, 0, 0, 0]),
        (("cuts", "duplicates"), [0, 0, 3, 0, 0]),
        (("cuts", "stills", "black"), [1, 2, 1, 0, 0]),
    ],
)
def test_a_clip_is_left_out_as_the_first_that_it_is(exclude: tuple[str, ...], expected: list[int]):
    assert clip_exclusions(SEGMENT, exclude).tolist() == expected


def test_clips_without_signals_stay():
    old = dict.fromkeys(SEGMENT) | {"clip_start_seconds": [0.0, 1.5]}
    assert clip_exclusions(old, ("black", "stills", "cuts")).tolist() == [0, 0]


def test_tokens_and_times_go_together_and_are_counted():
    segments: list[dict[str, Any]] = [
        {
            "clip_start_seconds": [0.0, 1.5, 3.0],
            "tokens": [7, 8, 9],
            "excluded": [1, 0, 3],
            "clip_seconds": 1.5,
        },
        {"clip_start_seconds": [4.5], "tokens": [4], "excluded": [1], "clip_seconds": 1.5},
    ]
    kept, counts = without_excluded(segments)
    assert [segment["clip_start_seconds"] for segment in kept] == [[1.5], []]
    assert [segment["tokens"].tolist() for segment in kept] == [[8], []]
    assert all(segment["tokens"].dtype == np.int32 for segment in kept)
    assert counts == {"num_black": 2, "num_stills": 0, "num_cuts": 1}


DOCUMENT = {
    "visual_tokens": [1],
    "visual_token_start_seconds": [0.0],
    "sentences": ["Hola."],
    "sentence_start_seconds": [0.0],
    "sentence_end_seconds": [1.0],
    "language": "spa",
}


@pytest.mark.parametrize(
    ("exclude", "language", "is_copy", "reason"),
    [
        ((), "eng", False, None),
        (("other-languages",), "eng", False, "other-languages"),
        (("other-languages",), "spa", False, None),
        (("other-languages", "duplicates"), "eng", True, "duplicates"),
    ],
)
def test_a_video_that_is_left_out_is_an_empty_document_that_says_why(
    exclude: tuple[str, ...], language: str, is_copy: bool, reason: str | None
):
    found = with_exclusion(DOCUMENT, is_copy=is_copy, exclude=exclude, language=language)
    assert found["excluded_for"] == reason
    assert found["language"] == "spa", "it can still be looked up"
    names = [name for name in DOCUMENT if name != "language"]
    assert [found[name] for name in names] == ([[]] * 5 if reason else [DOCUMENT[name] for name in names])


def test_a_video_of_no_known_language_stays():
    silent = DOCUMENT | {"language": None}
    kept = with_exclusion(silent, is_copy=False, exclude=("other-languages",), language="eng")
    assert kept["excluded_for"] is None


def test_of_an_empty_document_nothing_is_learned():
    words = vocabulary()
    empty = with_exclusion(cooking(0), is_copy=True, exclude=("duplicates",), language="eng")
    assert sequences_of_documents([empty], words, SequenceConfig(), seed=0, epoch=0) == []
    both = sequences_of_documents([empty, cooking(1)], words, SequenceConfig(), seed=0, epoch=0)
    alone = sequences_of_documents([cooking(1)], words, SequenceConfig(), seed=0, epoch=0)
    assert len(both) == len(alone) > 0
