"""Featurization in a bucket that fails now and then: moto's S3 behind a proxy that makes faults."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.job_process import start_job
from tests.object_store import ObjectStore
from tests.table_rows import rows_of
from tests.videos import Video, write_video
from vbert.storage.files import filesystem_of

pytestmark = [pytest.mark.slow, pytest.mark.seconds(60)]


def test_featurization_in_a_bucket_that_fails_ends_as_in_a_folder(
    faulty: str, joined: None, ray_cluster: str, run_job: Run, tmp_path: Path
):
    """The same videos, the same features; a rerun finds nothing to do; no secret is in what is said."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for index in range(6):
        write_video(folder / f"v{index}.mp4", Video(num_frames=60 + 15 * index, fps=Fraction(10)))
    (folder / "broken.mp4").write_bytes(b"not a video at all")
    filesystem, _ = filesystem_of(faulty)
    for video in folder.iterdir():
        filesystem.put(str(video), f"{faulty}/videos/{video.name}")
    assert run_job("featurize", "--corpus", folder, "--tables", tmp_path / "tables") == 1

    store = ObjectStore(os.environ["AWS_ENDPOINT_URL"])
    said = ""
    for status in (1, 0):  # one is broken; then nothing has changed
        job = start_job(
            "featurize",
            *("--corpus", f"{faulty}/videos", "--tables", f"{faulty}/tables", "--commit-seconds", "0"),
            folder=tmp_path,
            address=ray_cluster,
            workers_environment=store.environment,
        )
        said += job.ended()
        assert job.returncode == status, said
    assert "unchanged, skipped    7" in said
    assert store.environment["AWS_SECRET_ACCESS_KEY"] not in said
    disturbed, undisturbed = (of_names(rows_of(place)) for place in (f"{faulty}/tables", tmp_path / "tables"))
    assert len(undisturbed["videos"]) == 7
    assert disturbed == undisturbed


def of_names(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[Any]]:
    """What the tables say of each video, by its file's name and without what differs from place to place."""
    names = {row["video_id"]: Path(row["uri"]).name for row in rows["videos"]}
    kept = ("status", "stage", "num_clips", "num_segments", "width", "height", "duration_seconds")
    return {
        "videos": sorted([names[row["video_id"]], *(row[name] for name in kept)] for row in rows["videos"]),
        "features": sorted(
            [
                names[row["video_id"]],
                row["segment_index"],
                row["clip_start_seconds"],
                list(map(list, row["features"])),
            ]
            for row in rows["features"]
        ),
    }
