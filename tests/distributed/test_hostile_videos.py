"""What the workers of transcribe and report do with videos that end, hold up or fill the process that opens
them: a row that says why, or no picture, and the next."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.distributed.test_attempts import Paper
from tests.hostile_modules import write_hostile_modules
from tests.videos import Video, write_video
from vbert.distributed.report_worker import FramesInChild
from vbert.distributed.transcribe import LEDGER, Transcribe
from vbert.tables.delta import Table
from vbert.tables.schemas import TRANSCRIPTS
from vbert.text.sentences import Word
from vbert.video.decode_child import DecodeLimits

pytestmark = pytest.mark.slow

LIMITS = DecodeLimits(max_decode_seconds=2.0, max_decode_gigabytes=1.5)
REASONS = {
    "crash": "the decoder died of signal 11 (SIGSEGV)",
    "greedy": "needs more than 1.5 GB of memory",
    "hang": "took longer than 2 s",
}


@pytest.fixture
def uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A silent video of 2 s under the names of bad ones, and last a good one; their children find the store
    that misbehaves."""
    monkeypatch.setattr("vbert.distributed.attempts.ClusterNotes", Paper)
    monkeypatch.syspath_prepend(str(write_hostile_modules(tmp_path / "modules")))
    video = write_video(tmp_path / "good.mp4", Video(num_frames=20, fps=Fraction(10)))
    for name in REASONS:
        (tmp_path / f"{name}.mp4").hardlink_to(video)
    return {name: f"hostile://{tmp_path}/{name}.mp4" for name in (*REASONS, "good")}


class Deaf:
    """A recogniser that nothing is to be heard by."""

    def words(self, samples: np.ndarray) -> list[Word]:
        raise AssertionError


def test_a_video_that_ends_who_listens_to_it_is_a_row_of_transcripts(
    uris: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vbert.distributed.transcribe.make_recognizer", lambda _: Deaf())
    table = Table(str(tmp_path / "tables"), TRANSCRIPTS)
    table.create()
    actor = Transcribe(tables=str(tmp_path / "tables"), recognizer="deaf", limits=LIMITS)
    pending = [
        dict.fromkeys(LEDGER.names, "1") | {"video_id": name, "uri": uris[name], "is_known": name == "good"}
        for name in uris
    ]
    (file,) = actor(pa.Table.from_pylist(pending)).to_pylist()
    assert file["known_ids"] == ["good"]
    assert file["statuses"] == [*["failed"] * len(REASONS), "silent"]
    assert file["failures"] == [f"{uris[name]}: {reason}" for name, reason in REASONS.items()]


def test_a_video_that_ends_who_draws_it_is_not_in_the_report(uris: dict[str, str]):
    rows = [{"video_id": name, "uri": uri, "times": [0.0]} for name, uri in uris.items()]
    found = FramesInChild(limits=LIMITS)(pa.Table.from_pylist(rows)).to_pylist()
    assert [row["video_id"] for row in found] == ["good"]
