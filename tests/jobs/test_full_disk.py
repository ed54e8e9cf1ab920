"""Featurization onto a disk that fills up."""

from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.videos import Video, write_video
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS


@pytest.mark.slow
def test_a_job_on_a_disk_that_fills_up_ends_with_one_line(
    small_disk: Path, tmp_path: Path, joined: None, run_job: Run, capfd: pytest.CaptureFixture[str]
):
    """Once there is room again, the same command goes on from the last commit."""
    for index in range(12):
        write_video(tmp_path / f"v{index}.mp4", Video(num_frames=60, fps=Fraction(2)))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(750_000))
    places = ("--corpus", tmp_path / "v*.mp4", "--tables", small_disk / "tables")
    command = ("featurize", *places, "--commit-seconds", 0, "--segment-seconds", 3, "--num-workers", 1)
    assert run_job(*command) == 2
    said = capfd.readouterr().err
    line = said.splitlines()[-1]
    assert line.startswith(f"error: {small_disk}/tables/")
    assert "No space left on device" in line
    assert line.endswith("the disk is full: free some space, or name another place")
    assert "Traceback" not in said
    for layout in (VIDEOS, FEATURES):
        table = Table(str(small_disk / "tables"), layout)
        for partition in table.partitions():
            table.read(columns=layout.schema.names, partition=partition)
    filler.unlink()
    assert run_job(*command) == 0
    ledger = Table(str(small_disk / "tables"), VIDEOS)
    rows = ledger.read(columns=["status", "num_clips"], partition=ledger.partitions()[0])
    assert [(row["status"], row["num_clips"]) for row in rows.to_pylist()] == [("ok", 20)] * 12
