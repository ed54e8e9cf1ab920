import numpy as np
import pyarrow as pa

from tests.tiny import cooking, document
from vbert.report.facts import MAX_PROBLEMS, LedgerSurvey, curves, usage, visible_words, words_of_tokens


def test_the_words_of_a_token_are_those_said_with_it_more_than_with_others():
    documents = [
        document("a", tokens=[1, 1, 2, 2], sentences=[(0.0, 3.0, "cut the Egg"), (3.0, 6.0, "fry the fish")]),
        document("b", tokens=[2, 2, 1, 1], sentences=[(0.0, 3.0, "the fish!"), (3.0, 6.0, "the egg, cut")]),
        document("c", tokens=[1, 1], sentences=[(0.0, 3.0, "an egg is cut")]),
        document("d", tokens=[2, 2], sentences=[(0.0, 3.0, "fish")]),
        document("e", tokens=[9, 9]),
    ]
    # cut and egg: with 1 each of three times; fish: with 2 three times. The others: too seldom, or with both.
    assert words_of_tokens(documents) == {1: ["cut", "egg"], 2: ["fish"]}
    assert words_of_tokens(documents, num_words=1) == {1: ["cut"], 2: ["fish"]}


def test_the_foods_of_cooking_videos_are_found_for_their_tokens():
    words = words_of_tokens([cooking(number) for number in range(200)])
    foods = ["apple", "bread", "fish", "lemon", "egg"]
    assert [words[token][0] for token in range(25)] == [food for food in foods for _ in range(5)]
    assert sorted(visible_words(words, count=5)) == sorted(foods)


def test_usage_of_leaves():
    found = usage(np.array([4, 4, 0, 4, 4]))
    assert found == {"Visual vocabulary": "5", "Tokens in use": "4", "Perplexity of use": "4"}
    assert usage(np.zeros(3, np.int64))["Perplexity of use"] == "0"


LEDGER = [
    {"uri": "a", "status": "ok", "stage": None, "reason": None, "warnings": []},
    {"uri": "b", "status": "failed", "stage": "probe", "reason": "no video stream", "warnings": None},
    {"uri": "c", "status": "partial", "stage": "decode", "reason": "x", "warnings": ["ended early"]},
]
LENGTHS = [(3600.0, 2000), (None, None), (1800.0, 10)]


def test_a_ledger_in_two_parts_is_summed_up_as_one():
    rows = [
        row | {"duration_seconds": seconds, "num_clips": num_clips}
        for row, (seconds, num_clips) in zip(LEDGER, LENGTHS, strict=True)
    ]
    ledger = pa.Table.from_pylist(rows)
    found = LedgerSurvey.of(ledger[:2]) + LedgerSurvey.of(ledger[2:])
    assert found == LedgerSurvey.of(ledger)
    assert found.reasons == {"probe: no video stream": 1, "decode: x": 1}
    assert found.summary() == {
        "Videos": "3",
        "Failed": "1",
        "Used in part": "1",
        "Failures and warnings": "3",
        "Hours": "1.5",
        "Clips": "2,010",
    }
    assert found.problems == [
        {"uri": "b", "status": "failed", "stage": "probe", "reason": "no video stream"},
        {"uri": "c", "status": "partial", "stage": "decode", "reason": "x"},
        {"uri": "c", "status": "partial", "stage": "warning", "reason": "ended early"},
    ]
    many = LedgerSurvey.of(pa.Table.from_pylist([rows[1]] * MAX_PROBLEMS))
    assert ((many + many).num_problems, len((many + many).problems)) == (2 * MAX_PROBLEMS, MAX_PROBLEMS)


def test_curves_of_training_and_validation_losses_first():
    lines = [
        {"step": 10, "train/loss": 3.0, "train/accuracy/x": 0.1},
        {"step": 20, "train/loss": 2.0, "validation/loss": 2.5},
    ]
    assert curves(lines) == [
        {"name": "loss", "train": [[10, 3.0], [20, 2.0]], "validation": [[20, 2.5]]},
        {"name": "accuracy/x", "train": [[10, 0.1]], "validation": []},
    ]
