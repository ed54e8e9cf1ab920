"""Which documents are to be made is found out by hand here: a case a video, one letter each."""

import pyarrow as pa
import pytest

from vbert.documents.changes import CAPTIONED, KNOWN, LEDGER, SPOKEN, Comparison, DocumentChanges

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
]
DOCUMENTS = [
    *[("b", "1", "t"), ("c", "1", None), ("d", "1", "old"), ("e", "1", None)],
    *[("f", "1", "t"), ("g", "2", None), ("h", "1", "t"), ("z", "1", None)],
]


@pytest.fixture
def changes() -> DocumentChanges:
    ledger = [
        {
            **dict.fromkeys(LEDGER.names),
            **{"video_id": video, "uri": f"/{video}.mp4", "fingerprint": fingerprint},
            **{"transcript_uri": text and f"/{video}.vtt", "transcript_fingerprint": text, "num_clips": 1},
        }
        for video, fingerprint, text in LISTED
    ]
    rows = pa.Table.from_pylist(ledger, schema=LEDGER)
    return Comparison([rows.slice(0, 3), rows.slice(3)]).changes(
        captioned=[table([("d", "new")], CAPTIONED)],
        spoken=[table([("e", "1", "s"), ("f", "1", "s"), ("g", "1", "s")], SPOKEN)],
        known=[table(DOCUMENTS, KNOWN)],
    )


def table(rows: list[tuple[str | None, ...]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def test_what_is_new_or_has_another_file_or_text_is_to_be_made(changes: DocumentChanges):
    (pending,) = changes.pending(at_most=100)
    found = [(row["video_id"], row["transcript_fingerprint"], row["is_known"]) for row in pending.to_pylist()]
    assert found == [
        ("a", None, False),
        ("c", None, True),
        ("d", "new", True),
        ("e", "s", True),
        ("h", "u", True),
    ]
    assert (changes.num_pending, changes.num_unchanged) == (5, 3)


def test_parts_are_in_the_order_of_the_ids_and_what_is_gone_is_named(changes: DocumentChanges):
    parts = [part["video_id"].to_pylist() for part in changes.pending(at_most=2)]
    assert parts == [["a", "c"], ["d", "e"], ["h"]]
    assert changes.gone() == ["z"]
