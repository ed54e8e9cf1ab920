"""The featurization job as its users run it: reruns, changes, failures and kills, on a local Ray cluster."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.table_rows import rows_of
from tests.videos import Video, write_video
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Nine videos of 4.5 to 12 s, one with a transcript, and one file that only looks like a video."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index in range(9):
        write_video(folder / f"v{index}.mp4", Video(num_frames=45 + 9 * index, fps=Fraction(10)))
    (folder / "v3.vtt").write_text("WEBVTT\n\n00:00.500 --> 00:02.000\nNow cut the apple.\n")
    (folder / "broken.mp4").write_bytes(b"not a video at all")
    return folder


Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(corpus: Path, tmp_path: Path) -> list[str]:
    options = ["--corpus", str(corpus), "--tables", str(tmp_path / "tables")]
    # 3 s segments: two clips of 1.5 s in each, so that every video has several.
    return [sys.executable, "jobs/featurize.py", *options, "--segment-seconds", "3", "--commit-seconds", "0"]


@pytest.fixture
def featurize(command: list[str], ray_cluster: str) -> Job:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"RAY_ADDRESS": ray_cluster}
        return subprocess.run(
            [*command, *options],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def versions(tables: Path) -> list[int]:
    return [Table(str(tables), layout).version() for layout in (VIDEOS, FEATURES)]


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {Path(row["uri"]).stem: row for row in rows}


def test_the_job_keeps_up_with_its_corpus(featurize: Job, corpus: Path, tmp_path: Path):
    tables = tmp_path / "tables"

    first = featurize()
    assert first.returncode == 1, first.stderr
    assert "broken.mp4: probe: " in first.stdout
    rows = rows_of(tables)
    ledger = by_name(rows["videos"])
    assert {name: row["status"] for name, row in ledger.items()} == {"broken": "failed"} | {
        f"v{index}": "ok" for index in range(9)
    }
    # 4.5 s are 3 clips in 2 segments; 0.9 s more with each video.
    assert [ledger[f"v{index}"]["num_clips"] for index in range(9)] == [3, 3, 4, 4, 5, 6, 6, 7, 7]
    assert [ledger[f"v{index}"]["num_segments"] for index in range(9)] == [2, 2, 2, 2, 3, 3, 3, 4, 4]
    starts = [
        start
        for row in rows["features"]
        if row["video_id"] == ledger["v7"]["video_id"]
        for start in row["clip_start_seconds"]
    ]
    assert starts == [1.5 * clip for clip in range(7)]

    before = versions(tables)
    unchanged = featurize()
    assert unchanged.returncode == 0
    assert versions(tables) == before, "nothing changed, nothing committed"
    assert "unchanged, skipped    10" in unchanged.stdout

    write_video(corpus / "v2.mp4", Video(num_frames=90, fps=Fraction(10)))
    (corpus / "v3.vtt").write_text("WEBVTT\n\n00:00.500 --> 00:02.000\nNow wash it.\n")
    (corpus / "v5.mp4").unlink()
    changed = featurize()
    assert changed.returncode == 0
    assert "featurized            1 (0 in part)" in changed.stdout
    assert "new transcript only   1" in changed.stdout
    after = rows_of(tables)
    untouched = [row for row in rows["features"] if row["video_id"] != ledger["v2"]["video_id"]]
    assert [row for row in after["features"] if row["video_id"] != ledger["v2"]["video_id"]] == untouched
    assert by_name(after["videos"])["v2"]["num_clips"] == 6
    assert by_name(after["videos"])["v3"]["transcript_fingerprint"] != ledger["v3"]["transcript_fingerprint"]
    assert "v5" in by_name(after["videos"])

    pruned = featurize("--prune")
    assert pruned.returncode == 0
    gone = ledger["v5"]["video_id"]
    assert all(row["video_id"] != gone for rows in rows_of(tables).values() for row in rows)

    write_video(corpus / "broken.mp4", Video(num_frames=30, fps=Fraction(10)))
    assert featurize().returncode == 0
    old = rows_of(tables)
    assert by_name(old["videos"])["broken"]["status"] == "ok"

    # Another configuration makes other rows, and the old stay.
    assert featurize("--frames-per-clip", "2").returncode == 0
    new = rows_of(tables)
    for name in ("videos", "features"):
        assert all(row in new[name] for row in old[name])
        assert len(new[name]) == 2 * len(old[name])


def test_every_real_video_is_featurized_and_the_broken_one_has_its_reason(
    real_videos: Path, tmp_path: Path, ray_cluster: str
):
    tables = tmp_path / "tables"
    job = [sys.executable, "jobs/featurize.py", "--corpus", str(real_videos), "--tables", str(tables)]
    environment = os.environ | {"RAY_ADDRESS": ray_cluster}
    subprocess.run(job, cwd=ROOT, env=environment, capture_output=True, timeout=300, check=False)
    ledger = {Path(row["uri"]).name: row for row in rows_of(tables)["videos"]}
    assert all(row["num_clips"] >= 1 for row in ledger.values())
    assert {name for name, row in ledger.items() if row["status"] != "ok"} == {"corrupted.mp4"}
    assert (ledger["corrupted.mp4"]["stage"], ledger["corrupted.mp4"]["status"]) == ("decode", "partial")
    # 39.85 s, 10.38 s and 0.1 s in clips of 1.5 s.
    for name, num_clips in (("bottle-detection.mp4", 26), ("pancake.mkv", 6), ("rotated_90.mov", 1)):
        assert ledger[name]["num_clips"] == num_clips
    assert [ledger["rotated_90.mov"][side] for side in ("width", "height")] == [320, 568]
