"""The ledger and the commits before it: nothing lost, nothing twice, changed videos replaced whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vbert.features.ledger import Ledger, MicroBatch, ledger_row
from vbert.features.planning import SEGMENTS
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import FEATURES, pack_vectors

DIM = 5


def segment(video_id: str, index: int, *, of: int, fingerprint: str = "a", **columns: Any) -> dict[str, Any]:
    """A finished row of SEGMENTS."""
    row = dict.fromkeys(SEGMENTS.names) | {
        "video_id": video_id,
        "featurizer": "f-1",
        "uri": f"/videos/{video_id}.mp4",
        "fingerprint": fingerprint,
        "warnings": [],
        "num_segments": of,
        "is_listed": False,
        "replaces": False,
        "segment_index": index,
        "state": "done",
        "num_clips": 2,
        "num_dropped_clips": 0,
        "segment_warnings": [],
    }
    return row | columns


def failed(video_id: str, index: int, *, of: int, **columns: Any) -> dict[str, Any]:
    facts = {"state": "failed", "stage": "decode", "reason": "no frame", "num_clips": None}
    return segment(video_id, index, of=of, **facts, **columns)


def file_of(ledger: Ledger, *segments: dict[str, Any]) -> NewFile:
    rows = [
        {"clip_seconds": 1.5, "clip_start_seconds": [0.0, 1.5], "warnings": []}
        | {
            name: row[name]
            for name in ("video_id", "featurizer", "fingerprint", "segment_index", "num_dropped_clips")
        }
        for row in segments
    ]
    scalars = pa.schema([field for field in FEATURES.schema if field.name != "features"])
    vectors = pack_vectors([np.ones((2, DIM), np.float32) for _ in rows])
    table = pa.Table.from_pylist(rows, schema=scalars).append_column("features", vectors)
    return ledger.features.write_file(table)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(str(tmp_path), featurizer="f-1")
    made.make()
    return made


def features_of(ledger: Ledger) -> list[tuple[str, int, str]]:
    rows = ledger.features.read(
        columns=["video_id", "segment_index", "fingerprint"], partition="f-1"
    ).to_pylist()
    return sorted((row["video_id"], row["segment_index"], row["fingerprint"]) for row in rows)


def statuses(ledger: Ledger) -> dict[str, str]:
    return {row["video_id"]: row["status"] for row in ledger.read().to_pylist()}


def add(batch: MicroBatch, ledger: Ledger, *segments: dict[str, Any]) -> None:
    """What one worker returns: its file, then its segments."""
    replaces = segments[0]["video_id"] if segments[0]["replaces"] else None
    batch.add_file(file_of(ledger, *segments), replaces_video=replaces)
    for row in segments:
        batch.add_segment(row)


def test_a_new_videos_segments_are_committed_before_the_video_is_whole(ledger: Ledger):
    batch = MicroBatch(ledger)
    add(batch, ledger, segment("p", 0, of=3), segment("p", 2, of=3))
    batch.commit()
    assert features_of(ledger) == [("p", 0, "a"), ("p", 2, "a")]
    assert statuses(ledger) == {}
    add(batch, ledger, segment("p", 1, of=3))
    batch.commit()
    assert statuses(ledger) == {"p": "ok"}
    assert len(features_of(ledger)) == 3


def test_a_changed_video_is_old_or_new_for_a_reader_never_half(ledger: Ledger):
    first = MicroBatch(ledger)
    add(first, ledger, segment("p", 0, of=2), segment("p", 1, of=2), segment("q", 0, of=1))
    first.commit()
    second = MicroBatch(ledger)
    changed = {"fingerprint": "b", "is_listed": True, "replaces": True}
    add(second, ledger, segment("p", 0, of=2, **changed))
    second.commit()
    assert features_of(ledger) == [("p", 0, "a"), ("p", 1, "a"), ("q", 0, "a")]
    add(second, ledger, segment("p", 1, of=2, **changed))
    second.commit()
    assert features_of(ledger) == [("p", 0, "b"), ("p", 1, "b"), ("q", 0, "a")]
    fingerprints = {row["video_id"]: row["fingerprint"] for row in ledger.read().to_pylist()}
    assert fingerprints == {"p": "b", "q": "a"}


def test_a_changed_video_that_now_fails_loses_its_old_features(ledger: Ledger):
    first = MicroBatch(ledger)
    add(first, ledger, segment("p", 0, of=1))
    first.commit()
    second = MicroBatch(ledger)
    second.add_segment(failed("p", 0, of=1, fingerprint="b", is_listed=True, replaces=True))
    second.commit()
    assert features_of(ledger) == []
    assert statuses(ledger) == {"p": "failed"}


def test_killed_between_the_two_commits_the_next_run_finds_the_segments(ledger: Ledger):
    ledger.put([file_of(ledger, segment("p", 0, of=1))], [], replaced=(), listed=())
    assert ledger.done_segments(["p", "q"]).to_pylist() == [
        {
            "video_id": "p",
            "fingerprint": "a",
            "segment_index": 0,
            "num_clips": 2,
            "num_dropped_clips": 0,
            "warnings": [],
        }
    ]


def test_pruned_videos_leave_both_tables(ledger: Ledger):
    batch = MicroBatch(ledger)
    add(batch, ledger, segment("p", 0, of=1), segment("q", 0, of=1))
    batch.commit()
    ledger.prune(["p"])
    assert features_of(ledger) == [("q", 0, "a")]
    assert statuses(ledger) == {"q": "ok"}


def test_a_new_transcript_changes_the_ledgers_row_and_nothing_else(ledger: Ledger):
    batch = MicroBatch(ledger)
    add(batch, ledger, segment("p", 0, of=1, transcript_reason="not a transcript"))
    add(batch, ledger, segment("q", 0, of=1))
    batch.commit()
    assert statuses(ledger) == {"p": "partial", "q": "ok"}
    before = ledger.features.version()
    news = {"transcript_uri": "/videos/p.vtt", "transcript_fingerprint": "t", "reason": None}
    ledger.put_transcripts(pa.Table.from_pylist([{"video_id": "p"} | news]))
    (row,) = ledger.read(video_ids=["p"]).to_pylist()
    assert (row["transcript_uri"], row["status"], row["stage"], row["failures"]) == (
        "/videos/p.vtt",
        "ok",
        None,
        [],
    )
    assert statuses(ledger) == {"p": "ok", "q": "ok"}
    assert ledger.features.version() == before


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([segment("p", 0, of=1)], ("ok", None, None, 2)),
        (
            [failed("p", 1, of=2), segment("p", 0, of=2)],
            ("partial", "decode", "no frame", 2),
        ),
        ([failed("p", 0, of=2), failed("p", 1, of=2)], ("failed", "decode", "no frame", 0)),
        (
            [segment("p", 0, of=1, num_dropped_clips=3)],
            ("partial", "decode", "3 clips dropped: corrupt frames", 2),
        ),
        (
            [segment("p", 0, of=1, transcript_reason="not UTF-8")],
            ("partial", "transcript", "not UTF-8", 2),
        ),
    ],
)
def test_a_videos_row_sums_its_segments_up(rows: list[dict[str, Any]], expected: tuple[Any, ...]):
    row = ledger_row(rows)
    assert (row["status"], row["stage"], row["reason"], row["num_clips"]) == expected


def test_every_failed_segment_is_named_in_the_ledger():
    row = ledger_row([failed("p", 2, of=3), segment("p", 0, of=3), failed("p", 1, of=3)])
    assert [failure["segment_index"] for failure in row["failures"]] == [1, 2]
