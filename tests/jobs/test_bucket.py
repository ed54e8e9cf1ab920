"""Featurization in a bucket: moto's S3, also one that fails now and then."""

import os
from fractions import Fraction
from pathlib import Path

import pytest

from tests.job_process import start_job
from tests.object_store import ObjectStore, make_bucket
from tests.table_rows import rows_of
from tests.videos import Video, write_video
from vbert.storage.files import filesystem_of

pytestmark = [pytest.mark.slow, pytest.mark.seconds(60)]  # three jobs in processes of their own


def test_featurization_in_a_bucket_that_fails_ends_as_in_one_that_does_not(
    faulty: str, store: ObjectStore, ray_cluster: str, tmp_path: Path
):
    """The same videos, the same features; a rerun finds nothing to do; no secret is in what is said."""
    for index in range(6):
        write_video(tmp_path / f"v{index}.mp4", Video(num_frames=60 + 15 * index, fps=Fraction(10)))
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all")
    found = []
    # One video is broken; in the store that fails once more, when nothing has changed.
    for place, statuses in ((store, (1,)), (ObjectStore(os.environ["AWS_ENDPOINT_URL"]), (1, 0))):
        with pytest.MonkeyPatch.context() as patch:
            bucket = make_bucket(place, patch)
            filesystem, _ = filesystem_of(bucket)
            for video in tmp_path.glob("*.mp4"):
                filesystem.put(str(video), f"{bucket}/videos/{video.name}")
            options = ["--corpus", f"{bucket}/videos", "--tables", f"{bucket}/tables"]
            said = ""
            for status in statuses:
                job = start_job(
                    "featurize",
                    *options,
                    *("--commit-seconds", "0"),
                    folder=tmp_path,
                    address=ray_cluster,
                    workers_environment=place.environment,
                )
                said += job.ended()
                assert job.returncode == status, said
            assert place.environment["AWS_SECRET_ACCESS_KEY"] not in said
            found.append(rows_of(f"{bucket}/tables"))
    assert "unchanged, skipped    7" in said
    undisturbed, disturbed = found
    assert len(undisturbed["videos"]) == 7
    assert disturbed == undisturbed
