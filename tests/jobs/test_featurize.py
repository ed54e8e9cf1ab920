"""The featurization job as its users run it: reruns, changes, failures and kills, on a local Ray cluster."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.table_rows import rows_of
from tests.videos import Video, write_video
from vbert.distributed.featurize import FeaturizeConfig
from vbert.errors import UserError
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS

pytestmark = pytest.mark.slow


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


@pytest.fixture
def featurize(corpus: Path, tmp_path: Path, joined: None, run_job: Run) -> Run:
    """The job with some more options: its exit status."""
    options = ["--corpus", corpus, "--tables", tmp_path / "tables"]
    # 3 s segments: two clips of 1.5 s in each, so that every video has several.
    options += ["--segment-seconds", 3, "--commit-seconds", 0, "--num-workers", 1]

    def run(*more: object) -> int:
        return run_job("featurize", *options, *more)

    return run


def versions(tables: Path) -> list[int]:
    return [Table(str(tables), layout).version() for layout in (VIDEOS, FEATURES)]


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {Path(row["uri"]).stem: row for row in rows}


@pytest.mark.parametrize(("option", "value"), [("--compile", True), ("--decoder nvdec", "nvdec")])
def test_what_only_gpus_know_is_refused_without_them(option: str, value: Any):
    how = {"compile": True} if value is True else {"featurizer": FeaturizerConfig(decoder=value)}
    with pytest.raises(UserError, match=f"^{option}: wants GPUs, and there is none to use"):
        FeaturizeConfig(corpus="videos", tables="tables", gpus="none", **how)


def test_a_cluster_without_gpus_compiles_no_backbone(featurize: Run, capsys: pytest.CaptureFixture[str]):
    assert featurize("--compile") == 2
    assert "--compile: wants GPUs, and there is none to use" in capsys.readouterr().err


@pytest.mark.seconds(90)  # six times workers start
def test_the_job_keeps_up_with_its_corpus(
    featurize: Run, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tables = tmp_path / "tables"

    assert featurize() == 1
    said = capsys.readouterr().out
    assert "broken.mp4: probe: " in said
    assert re.search(
        r"work +0:0\d of CPUs on decoding, 0:\d\d of actors in the backbone, which waited \d+%", said
    )
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
    assert featurize() == 0
    assert versions(tables) == before, "nothing changed, nothing committed"
    assert "unchanged, skipped    10" in capsys.readouterr().out

    write_video(corpus / "v2.mp4", Video(num_frames=90, fps=Fraction(10)))
    (corpus / "v3.vtt").write_text("WEBVTT\n\n00:00.500 --> 00:02.000\nNow wash it.\n")
    (corpus / "v5.mp4").unlink()
    assert featurize() == 0
    said = capsys.readouterr().out
    assert "featurized            1 (0 in part)" in said
    assert "new transcript only   1" in said
    after = rows_of(tables)
    untouched = [row for row in rows["features"] if row["video_id"] != ledger["v2"]["video_id"]]
    assert [row for row in after["features"] if row["video_id"] != ledger["v2"]["video_id"]] == untouched
    assert by_name(after["videos"])["v2"]["num_clips"] == 6
    assert by_name(after["videos"])["v3"]["transcript_fingerprint"] != ledger["v3"]["transcript_fingerprint"]
    assert "v5" in by_name(after["videos"])

    at_last = versions(tables)
    assert featurize("--prune") == 2
    said = capsys.readouterr().err
    assert "lacks 1 of the ledger's 10 videos (newly gone), more than --prune-at-most 0.01" in said
    assert said.endswith("give --prune-at-most 0.1\n")
    assert versions(tables) == at_last
    assert featurize("--prune", "--prune-at-most", 0.1) == 0
    assert "gone from the corpus  1 (0 dropped; others after 7 days)" in capsys.readouterr().out
    assert by_name(rows_of(tables)["videos"])["v5"]["gone_since"] is not None
    assert featurize("--prune", "--prune-at-most", 0.1, "--prune-after-days", 0) == 0
    gone = ledger["v5"]["video_id"]
    assert all(row["video_id"] != gone for rows in rows_of(tables).values() for row in rows)

    write_video(corpus / "broken.mp4", Video(num_frames=30, fps=Fraction(10)))
    assert featurize() == 0
    old = rows_of(tables)
    assert by_name(old["videos"])["broken"]["status"] == "ok"

    # Another configuration makes other rows, and the old stay.
    assert featurize("--frames-per-clip", 2) == 0
    new = rows_of(tables)
    for name in ("videos", "features"):
        assert all(row in new[name] for row in old[name])
        assert len(new[name]) == 2 * len(old[name])


@pytest.mark.seconds(60)
def test_every_real_video_is_featurized_and_the_broken_one_has_its_reason(
    real_videos: Path, tmp_path: Path, joined: None, run_job: Run
):
    tables = tmp_path / "tables"
    assert run_job("featurize", "--corpus", real_videos, "--tables", tables) == 1
    ledger = {Path(row["uri"]).name: row for row in rows_of(tables)["videos"]}
    assert all(row["num_clips"] >= 1 for row in ledger.values())
    assert {name for name, row in ledger.items() if row["status"] != "ok"} == {"corrupted.mp4"}
    assert (ledger["corrupted.mp4"]["stage"], ledger["corrupted.mp4"]["status"]) == ("decode", "partial")
    # 39.85 s, 10.38 s and 0.1 s in clips of 1.5 s.
    for name, num_clips in (("bottle-detection.mp4", 26), ("pancake.mkv", 6), ("rotated_90.mov", 1)):
        assert ledger[name]["num_clips"] == num_clips
    assert [ledger["rotated_90.mov"][side] for side in ("width", "height")] == [320, 568]
