"""Jobs as users submit them to a cluster of several nodes.

It stands in this folder to run while this process is connected to no other cluster: Ray would ask that one
for the dashboard's address.
"""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cooking_tables import cooking_tables
from tests.ray_nodes import WITH_DASHBOARD, cluster_of
from tests.tiny import bert_folder
from tests.videos import Video, write_video

pytestmark = [pytest.mark.slow, pytest.mark.seconds(120)]

ROOT = Path(__file__).parents[2]


def test_jobs_are_submitted_to_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`ray job submit` with a working directory: featurize; pretrain on documents at hand."""
    corpus, model = tmp_path / "corpus", tmp_path / "run"
    corpus.mkdir()
    write_video(corpus / "a.mp4", Video(num_frames=60, fps=Fraction(10)))
    (corpus / "broken.mp4").write_bytes(b"not a video at all")
    vocabulary = cooking_tables(str(tmp_path / "cooking"), num_videos=20)
    # On a cluster's nodes `python` is the environment's that has vbert.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}, head=WITH_DASHBOARD) as cluster:
        address = f"http://{cluster.webui_url}"

        def submit(job: str, *options: object, status: int = 0) -> str:
            """What it says. `ray job submit` ends with 1 whatever the job's own status was but 0."""
            command = ["ray", "job", "submit", "--address", address, "--working-dir", str(ROOT)]
            command += ["--", "python", f"jobs/{job}.py", *map(str, options)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
            assert done.returncode == status, done.stdout + done.stderr
            return done.stdout

        said = submit("featurize", "--corpus", corpus, "--tables", tmp_path / "tables", status=1)
        assert "not ok: " in said
        inputs = ["--tables", tmp_path / "cooking", "--vocabulary", vocabulary, "--output", model]
        inputs += ["--model.bert", bert_folder(tmp_path / "bert"), "--sequences.row-length", 64]
        said = submit("pretrain", *inputs, "--num-steps", 2, "--data-streams", 2, "--rows-per-step", 4)
    assert "pretrain: 2 steps" in said
    assert (model / "model" / "model.safetensors").exists()
