"""Jobs as users submit them to a cluster.

It stands in this folder to run while this process is connected to no other cluster: Ray would ask that one
for the dashboard's address.
"""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.ray_nodes import WITH_DASHBOARD, cluster_of
from tests.table_rows import rows_of
from tests.videos import Video, write_video

pytestmark = [pytest.mark.slow, pytest.mark.seconds(120)]

ROOT = Path(__file__).parents[2]


def test_a_job_is_submitted_to_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`ray job submit` with a working directory: the driver runs on the cluster, as do its workers.

    Of one node: those of one machine share a folder, and each replaces there, when its first worker starts,
    the working directory that the driver of another is importing from.
    """
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_video(corpus / "a.mp4", Video(num_frames=60, fps=Fraction(10)))
    (corpus / "broken.mp4").write_bytes(b"not a video at all")
    # On a cluster's nodes `python` is the environment's that has vbert.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with cluster_of(head={**WITH_DASHBOARD, "num_cpus": 1}) as cluster:
        command = ["ray", "job", "submit", "--address", f"http://{cluster.webui_url}"]
        command += ["--working-dir", str(ROOT), "--", "python", "jobs/featurize.py"]
        command += ["--corpus", str(corpus), "--tables", str(tmp_path / "tables")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    # `ray job submit` ends with 1 whatever the job's own status was but 0.
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not ok: " in done.stdout, done.stdout + done.stderr
    statuses = {Path(row["uri"]).stem: row["status"] for row in rows_of(tmp_path / "tables")["videos"]}
    assert statuses == {"a": "ok", "broken": "failed"}
