"""Jobs on a cluster that has no worker yet: they ask for what they need, wait for it, and say so; when they
are done the workers go."""

import time
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cooking_tables import cooking_tables
from tests.job_process import start_job
from tests.ray_nodes import autoscaling_cluster, num_nodes
from tests.tiny import bert_folder
from tests.videos import Video, write_video

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
@pytest.mark.seconds(120)  # a cluster, nodes that come and go, three jobs
def test_nodes_come_when_they_are_asked_for(tmp_path: Path):
    """A GPU is logical here: a job that was told to use one gets its node, and does not compute without."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", Video(num_frames=60, fps=Fraction(10)))
    featurize = ("featurize", "--corpus", "videos", "--tables", "tables")

    def run(*command: str) -> tuple[int, str]:
        job = start_job(*command, folder=tmp_path, address=address)
        said = job.ended()
        return job.returncode, said

    vocabulary = cooking_tables(str(tmp_path / "cooked"), num_videos=16)
    bert_folder(tmp_path / "bert")
    pretrain = ("pretrain", "--tables", "cooked", "--vocabulary", vocabulary, "--output", "run")
    sizes = ("--model.bert", "bert", "--sequences.row-length", "64", "--num-steps", "2")
    sizes += ("--data-streams", "2", "--rows-per-step", "4", "--num-workers", "1")

    with autoscaling_cluster(tmp_path, cpu={"CPU": 1}, gpu={"CPU": 1, "GPU": 1}) as address:
        status, said = run(*pretrain, *sizes)
        assert status == 0, said
        status, said = run(*featurize, "--gpus", "1")
        assert status == 2, said
        assert "a GPU (--gpus 1); the cluster has none" in said  # and a CPU, if that node has gone
        assert "--gpus 1: torch sees none on a node that has one" in said
        status, said = run(*featurize, "--gpus", "none", "--num-actors", "1:2")
        assert status == 0, said
        deadline = time.monotonic() + 120
        while num_nodes(address) > 1:
            assert time.monotonic() < deadline, "nodes with nothing to do are kept"
            time.sleep(0.5)
