"""The featurization job among hostile files, with a decoder that crashes and hangs: all others are done."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.hostile_modules import write_hostile_modules
from tests.hostile_videos import base_videos, write_mutant, write_specials
from tests.job_process import start_job
from tests.table_rows import rows_of
from tests.time_budget import slowness
from tests.videos import Video, write_video
from vbert.storage.files import local_path

pytestmark = [pytest.mark.slow, pytest.mark.seconds(90)]

GOOD = [
    "good.mp4",
    'it\'s "good".mp4',
    "good\nnews.mp4",
    "gut\udcfc.mp4",
    "good; rm -rf *.mp4",
    "\u202egood.mp4",
]
MISDEEDS = {
    "crash.mp4": "the decoder died of signal 11 (SIGSEGV)",
    "hang.mp4": "took longer than {seconds} s",
    "leave.mp4": "the decoder's process ended with exit status 3",
    "greedy.mp4": "needs more than 3 GB of memory",
    "wrong.mp4": "unforeseen ZeroDivisionError: nobody foresaw this",
}
NUM_MUTANTS = 30


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Good videos of two clips with odd names, the same that the stand-in for decord does not survive,
    hostile ones, hostile transcripts, and links in a circle."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    video = write_video(tmp_path / "video.mp4", Video(num_frames=30, fps=Fraction(10)))
    for name in (*GOOD, "spoken.mp4", *MISDEEDS):
        (folder / name).write_bytes(video.read_bytes())
    (folder / "spoken.vtt").write_bytes(b"WEBVTT\n\n00:00.000 --> 00:01.000\n\xff" + b"so " * 3_000_000)
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "self.mp4").symlink_to("self.mp4")
    (folder / "traps").mkdir()
    write_specials(folder / "traps")
    (folder / "traps" / "a day of nothing.mkv").unlink()  # decoded, and that takes a while
    (folder / "mutants").mkdir()
    bases = base_videos(tmp_path, tmp_path / "none")
    for number in range(NUM_MUTANTS):
        write_mutant(folder / "mutants", number, bases)
    return folder


def test_the_job_goes_on_whatever_a_file_does_to_its_decoder(corpus: Path, tmp_path: Path, ray_cluster: str):
    modules = write_hostile_modules(tmp_path / "modules")
    options = ("--corpus", str(corpus), "--tables", str(tmp_path / "tables"), "--decoder", "decord")
    seconds = math.ceil(10 * max(1.0, slowness()))  # what every good file is decoded in
    limits = ("--max-decode-seconds", str(seconds), "--max-decode-gigabytes", "3")
    job = start_job(
        "featurize",
        *options,
        *limits,
        folder=tmp_path,
        address=ray_cluster,
        workers_environment={"PYTHONPATH": str(modules)},
    )
    output = job.ended()
    assert job.returncode == 1, output
    ledger = {Path(str(local_path(row["uri"]))).name: row for row in rows_of(tmp_path / "tables")["videos"]}
    for name in GOOD:
        assert (ledger[name]["status"], ledger[name]["num_clips"]) == ("ok", 2), name
    for name, reason in MISDEEDS.items():
        assert facts(ledger[name]) == ("failed", "decode", reason.format(seconds=seconds))
    reason = "more than 2,000,000 words, tags and entities"
    assert facts(ledger["spoken.mp4"]) == ("partial", "transcript", reason)
    assert ledger["self.mp4"]["status"] == "failed"
    assert all(row["status"] == "ok" or (row["stage"] and row["reason"]) for row in ledger.values())
    expected = len(GOOD) + len(MISDEEDS) + 2 + len(list((corpus / "traps").iterdir())) + NUM_MUTANTS
    assert len(ledger) == expected


def facts(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["status"], row["stage"], row["reason"]
