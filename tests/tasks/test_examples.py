import numpy as np
import pytest

from tests.tiny import document, vocabulary
from vbert.tasks.examples import (
    evenly_spaced,
    example_of,
    packed_inputs,
    padded,
    padded_inputs,
    sequence_of,
    windows_of,
)

WORDS = vocabulary()
VIDEO = document(
    "v", tokens=[10, 11, 12, 13], sentences=[(0.2, 1.4, "first"), (1.6, 2.9, "second"), (4.6, 5.5, "third")]
)
ABOUT = {"video_id": "v", "split": "train", "start_seconds": None, "end_seconds": None}


def test_an_annotation_without_times_is_about_the_whole_video():
    example = example_of(ABOUT, VIDEO)
    assert example["visual_tokens"] == [10, 11, 12, 13]
    assert example["said"] == "first second third"


def test_an_annotation_takes_the_clips_and_the_words_of_its_time():
    example = example_of({**ABOUT, "start_seconds": 1.5, "end_seconds": 4.5}, VIDEO)
    assert example["visual_tokens"] == [11, 12]
    assert example["visual_token_start_seconds"] == [1.5, 3.0]
    assert example["said"] == "second"
    assert example["split"] == "train"


def test_a_time_after_the_video_has_no_clips():
    example = example_of({**ABOUT, "start_seconds": 90.0, "end_seconds": 95.0}, VIDEO)
    assert (example["visual_tokens"], example["said"]) == ([], "")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3.0, [(0.0, 3.0), (3.0, 6.0)]), (2.5, [(0.0, 2.5), (2.5, 6.0)]), (60.0, [(0.0, 6.0)])],
)
def test_windows_cover_the_video(seconds: float, expected: list[tuple[float, float]]):
    found = windows_of(ABOUT, VIDEO, window_seconds=seconds)
    assert [(row["start_seconds"], row["end_seconds"]) for row in found] == expected


def test_a_video_without_clips_has_no_windows():
    assert windows_of(ABOUT, document("v", tokens=[]), window_seconds=5) == []


def test_a_sequence_is_text_then_clips():
    (text,) = WORDS.encode(["cut the egg"])
    assert WORDS.describe(sequence_of(text, [3, 4], WORDS, row_length=64)[0]) == (
        "[CLS] cut the egg [>] v3 v4 [SEP]"
    )
    assert WORDS.describe(sequence_of(text[:0], [3], WORDS, row_length=64)[0]) == "[CLS] [>] v3 [SEP]"
    ids, token_types, _ = sequence_of(text, [], WORDS, row_length=64)
    assert WORDS.describe(ids) == "[CLS] cut the egg [SEP]"
    assert not token_types.any()


def test_clips_of_a_long_video_are_left_out_evenly():
    nothing = np.zeros(0, np.int64)
    ids, _, _ = sequence_of(nothing, list(range(27)) * 10, WORDS, row_length=13)
    clips = ids[2:-1] - WORDS.visual_offset
    assert len(ids) == 13
    assert clips[0] == 0
    assert clips[-1] == 26
    assert len(clips) == 10


def test_packed_sequences_are_whole_and_numbered():
    sequences = [
        sequence_of(np.zeros(0, np.int64), range(length), WORDS, row_length=32) for length in (20, 3, 9, 1)
    ]
    packed = packed_inputs(sequences, WORDS, row_length=32)
    for number, (ids, token_types, _) in enumerate(sequences):
        here = packed["sequence_ids"] == number
        np.testing.assert_array_equal(packed["input_ids"][here], ids)
        np.testing.assert_array_equal(packed["token_type_ids"][here], token_types)
        np.testing.assert_array_equal(packed["position_ids"][here], np.arange(len(ids)))
    # 23 + 6, and 12 + 4: two rows as wide as the fuller.
    assert packed["input_ids"].shape == (2, 29)
    assert (packed["input_ids"][packed["sequence_ids"] == -1] == WORDS.pad_id).all()


def test_features_are_taken_with_their_clips():
    vectors = np.arange(8.0).reshape(4, 2)
    example = example_of({**ABOUT, "start_seconds": 1.5, "end_seconds": 4.5}, VIDEO | {"features": vectors})
    assert example["features"].tolist() == [[2, 3], [4, 5]]
    (text,) = WORDS.encode(["cut the egg"])
    # A row of 8 has room for two words and three of the five clips: the first, the middle, the last.
    sequence = sequence_of(text, range(5), WORDS, row_length=8, features=np.arange(10.0).reshape(5, 2))
    assert WORDS.describe(sequence.ids) == "[CLS] cut the [>] v0 v2 v4 [SEP]"
    assert sequence.features.tolist() == [[0, 1], [4, 5], [8, 9]]


def test_features_stand_where_their_clips_do():
    (text,) = WORDS.encode(["cut"])
    sequences = [
        sequence_of(text[:words], range(clips), WORDS, row_length=16, features=np.full((clips, 2), clips))
        for words, clips in ((0, 2), (1, 0), (1, 5), (0, 1))
    ]
    packed, rows = packed_inputs(sequences, WORDS, row_length=16), padded_inputs(sequences, WORDS)
    for number, clips in enumerate((2, 0, 5, 1)):
        for inputs, here in ((packed, packed["sequence_ids"] == number), (rows, number)):
            ids, features = inputs["input_ids"][here], inputs["visual_features"][here]
            assert features.dtype == np.float32
            expected = [[clips] * 2 if one >= WORDS.visual_offset else [0, 0] for one in ids.tolist()]
            assert features.tolist() == expected
    assert "visual_features" not in packed_inputs(
        [s._replace(features=None) for s in sequences], WORDS, row_length=16
    )


def test_padded_rows():
    assert padded([[1, 2], [], [3]], fill=-1).tolist() == [[1, 2], [-1, -1], [3, -1]]


@pytest.mark.parametrize(
    ("count", "at_most", "expected"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (0, 4, []), (100, 2, [0, 99])]
)
def test_places_are_spread(count: int, at_most: int, expected: list[int]):
    assert evenly_spaced(count, at_most=at_most).tolist() == expected
