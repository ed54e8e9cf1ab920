"""Which documents are to be made is found out by hand here: a case a video, one letter each."""

import pyarrow as pa
import pytest

from vbert.documents.changes import CAPTIONED, COPIES, KNOWN, LEDGER, SPOKEN, Comparison, DocumentChanges

# Video, fingerprint of its file, of its transcript.
LISTED = [
    ("a", "1", None),  # has no document
    ("b", "1", "t"),  # has it
    ("c", "2", None),  # its file has changed
    ("d", "1", "t"),  # its captions have changed, which go before its transcript
    ("e", "1", None),  # was listened to since
    ("f", "1", "t"),  # was listened to, but has a transcript
    ("g", "2", None),  # was listened to before its file changed
    ("h", "1", "u"),  # its transcript has changed
    ("i", "1", None),  # is a copy, and was built
    ("j", "1", None),  # is no copy any longer
    ("k", "1", None),  # was built with nothing left out
]
DOCUMENTS = [
    *[("b", "1", "t", "cuts"), ("c", "1", None, "cuts"), ("d", "1", "old", "cuts")],
    *[("e", "1", None, "cuts"), ("f", "1", "t", "cuts"), ("g", "2", None, "cuts"), ("h", "1", "t", "cuts")],
    *[("i", "1", None, "cuts"), ("j", "1", None, "cuts", "duplicates"), ("k", "1", None), ("z", "1", None)],
]


@pytest.fixture
def changes() -> DocumentChanges:
    ledger = [
        {
            **dict.fromkeys(LEDGER.names),
            **{"video_id": video, "fingerprint": fingerprint},
            **{"transcript_uri": text and f"/{video}.vtt", "transcript_fingerprint": text, "num_clips": 1},
        }
        for video, fingerprint, text in LISTED
    ]
    rows = pa.Table.from_pylist(ledger, schema=LEDGER)
    return Comparison([rows.slice(0, 3), rows.slice(3)]).changes(
        captioned=[table([("d", "new")], CAPTIONED)],
        spoken=[table([("e", "1", "s"), ("f", "1", "s"), ("g", "1", "s")], SPOKEN)],
        copies=[table([("i",)], COPIES)],
        known=[table(DOCUMENTS, KNOWN)],
        exclude="cuts",
    )


def table(rows: list[tuple[str | None, ...]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=False)) for row in rows], schema=schema)


def test_what_is_new_or_has_another_file_or_text_is_to_be_made(changes: DocumentChanges):
    (pending,) = changes.pending(at_most=100)
    found = [
        (row["video_id"], row["transcript_fingerprint"], row["is_copy"], row["is_known"])
        for row in pending.to_pylist()
    ]
    assert found == [
        ("a", None, False, False),
        ("c", None, False, True),
        ("d", "new", False, True),
        ("e", "s", False, True),
        ("h", "u", False, True),
        ("i", None, True, True),
        ("j", None, False, True),
        ("k", None, False, True),
    ]
    assert (changes.num_pending, changes.num_unchanged) == (8, 3)


def test_parts_are_in_the_order_of_the_ids_and_what_is_gone_is_named(changes: DocumentChanges):
    parts = [part["video_id"].to_pylist() for part in changes.pending(at_most=3)]
    assert parts == [["a", "c", "d"], ["e", "h", "i"], ["j", "k"]]
    assert changes.gone() == ["z"]
