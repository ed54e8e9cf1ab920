"""Jobs on a cluster that has no worker yet: they ask for what they need, wait for it, and say so."""

from fractions import Fraction
from pathlib import Path

import pytest

from tests.job_process import start_job
from tests.ray_nodes import autoscaling_cluster
from tests.videos import Video, write_video

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
@pytest.mark.seconds(90)  # a cluster, nodes that come, two jobs
def test_nodes_come_when_they_are_asked_for(tmp_path: Path):
    """A GPU is logical here: a job that was told to use one gets its node, and does not compute without."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", Video(num_frames=60, fps=Fraction(10)))
    featurize = ("featurize", "--corpus", "videos", "--tables", "tables")

    def run(*command: str) -> tuple[int, str]:
        job = start_job(*command, folder=tmp_path, address=address)
        said = job.ended()
        return job.returncode, said

    with autoscaling_cluster(tmp_path, cpu={"CPU": 1}, gpu={"CPU": 1, "GPU": 1}) as address:
        status, said = run(*featurize, "--gpus", "1")
        assert status == 2, said
        assert "featurize: waits for a node with a CPU and a GPU (--gpus 1); the cluster has none" in said
        assert "--gpus 1: torch sees none on a node that has one" in said
        status, said = run(*featurize, "--gpus", "none", "--num-actors", "2")
        assert status == 0, said
