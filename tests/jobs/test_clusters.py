"""Jobs on clusters of several nodes: with GPUs, with machines that go away, and side by side."""

import os
import random
import signal
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ray.cluster_utils import Cluster

from tests.conftest import Run
from tests.job_process import Job, start_job
from tests.ray_nodes import cluster_of, workers_of
from tests.table_rows import rows_of
from tests.videos import Video, write_video
from vbert.distributed import featurize_plan, joining
from vbert.storage import spilling
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUM_FAULTS = int(os.environ.get("VBERT_TEST_FAULTS", "3"))
KINDS = ("node", "worker", "driver")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos of 4.5 to 14.4 s with a transcript each, and one file that only looks like a video."""
    folder = tmp_path_factory.mktemp("clusters") / "corpus"
    folder.mkdir()
    for index in range(12):
        write_video(folder / f"v{index}.mp4", Video(num_frames=45 + 9 * index, fps=Fraction(10)))
        food = ("apple", "leek")[index % 2]
        (folder / f"v{index}.vtt").write_text(
            f"WEBVTT\n\n00:00.000 --> 00:02.000\nNow cut the {food}.\n"
            f"\n00:02.000 --> 00:04.000\nThen wash the {food}.\n"
        )
    (folder / "broken.mp4").write_bytes(b"not a video at all")
    return folder


def options_of(corpus: Path, tables: Path) -> list[str]:
    places = ["--corpus", str(corpus), "--tables", str(tables)]
    return [*places, "--segment-seconds", "3", "--commit-seconds", "0", "--frames-per-clip", "1"]


@pytest.fixture
def undisturbed(corpus: Path, joined: None, run_job: Run) -> Path:
    """The tables of a run that nothing happened to, on one node without a GPU."""
    tables = corpus.parent / "undisturbed"
    if not tables.exists():
        assert run_job("featurize", *options_of(corpus, tables)) == 1
    return tables


@pytest.mark.seconds(60)
def test_with_gpus_the_cpus_of_all_nodes_decode_for_them(corpus: Path, undisturbed: Path, tmp_path: Path):
    """Two actors share a GPU, which is logical here: they run torch, whose sums end in other bits than those
    of a cluster without one."""
    with cluster_of({"num_cpus": 2, "num_gpus": 1}, head={"num_cpus": 2}) as cluster:
        options = [*options_of(corpus, tmp_path), "--gpus-per-worker", "0.5"]
        job = start_job("featurize", *options, folder=ROOT, address=cluster.address)
        output = job.ended()
    assert job.returncode == 1, output
    found, expected = rows_of(tmp_path), rows_of(undisturbed)
    vectors, expected_vectors = (
        np.concatenate([row.pop("features") for row in rows["features"]]) for rows in (found, expected)
    )
    assert found == expected
    assert np.abs(vectors - expected_vectors).max() <= 2e-3 * expected_vectors.max()


def test_a_corpus_that_is_planned_in_parts_has_the_same_tables(
    corpus: Path,
    undisturbed: Path,
    tmp_path: Path,
    joined: None,
    run_job: Run,
    monkeypatch: pytest.MonkeyPatch,
):
    """Thirteen videos in two parts, of eight videos at most, which are probed beside actors on all CPUs; the
    job joins files as it goes."""
    parts: list[int] = []
    planned = featurize_plan._planned

    def counted(videos: pa.Table, *others: Any) -> Any:
        parts.append(videos.num_rows)
        return planned(videos, *others)

    monkeypatch.setattr(featurize_plan, "_planned", counted)
    monkeypatch.setattr(featurize_plan, "VIDEOS_PER_PROBE", 2)
    monkeypatch.setattr(spilling, "ROWS_PER_PART", 8)
    monkeypatch.setattr(joining, "MAX_SMALL_FILES", 8)
    assert run_job("featurize", *options_of(corpus, tmp_path)) == 1
    assert sum(parts) == 13
    assert len(parts) >= 2
    assert rows_of(tmp_path) == rows_of(undisturbed)
    for layout in (VIDEOS, FEATURES):
        (partition,) = (table := Table(str(tmp_path), layout)).partitions()
        assert len(table.paths(partition=partition)) < 8


@pytest.mark.timeout(3600)
@pytest.mark.seconds(120)  # a cluster, and as many jobs as it takes
def test_machines_actors_workers_and_drivers_that_die_at_random(
    corpus: Path, undisturbed: Path, tmp_path: Path
):
    """Whatever dies, the tables end as those of a run that nothing happened to: nothing lost, none twice."""
    chance = random.Random(6)
    expected = rows_of(undisturbed)
    died: list[str] = []
    num_runs = 0
    with cluster_of({"num_cpus": 1}, head={"num_cpus": 1}) as cluster:
        while len(died) < NUM_FAULTS:
            tables = tmp_path / str(num_runs)  # of a run that nothing met there is no work left
            num_runs += 1
            job = start_job("featurize", *options_of(corpus, tables), folder=ROOT, address=cluster.address)
            while True:
                try:
                    job.wait(timeout=chance.uniform(0.5, 5))  # a run takes six seconds
                except subprocess.TimeoutExpired:
                    if len(died) < NUM_FAULTS:
                        died += kill_something(KINDS[len(died) % len(KINDS)], cluster, job, chance)
                    continue
                if job.returncode != -signal.SIGKILL:
                    break
                assert_nothing_twice(tables, expected)
                job = start_job(
                    "featurize", *options_of(corpus, tables), folder=ROOT, address=cluster.address
                )
            assert job.returncode in (0, 1), job.said()
            assert rows_of(tables) == expected, died


def kill_something(kind: str, cluster: Cluster, job: Job, chance: random.Random) -> list[str]:
    """What was killed with SIGKILL; [] if there is no such thing just now."""
    if kind == "node":
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        cluster.add_node(num_cpus=1)
    elif kind == "driver":
        os.killpg(job.pid, signal.SIGKILL)
    elif workers := workers_of(cluster, r"ray::(BlockActor|Map)"):  # an actor, or a task that probes
        chance.choice(workers).kill()
    else:
        return []
    return [kind]


def assert_nothing_twice(tables: Path, expected: dict[str, list[dict[str, Any]]]) -> None:
    """Of a job that was killed: some of the rows, each once."""
    if (tables / "features" / "_delta_log").exists():
        keys = [(row["video_id"], row["segment_index"]) for row in rows_of(tables)["features"]]
        assert len(set(keys)) == len(keys)
        assert set(keys) <= {(row["video_id"], row["segment_index"]) for row in expected["features"]}


@pytest.mark.seconds(60)
def test_two_jobs_at_once_on_the_same_tables(
    corpus: Path, undisturbed: Path, tmp_path: Path, ray_cluster: str, run_job: Run
):
    """Both end well, or the second says that there is another; the tables are those of one."""
    options = options_of(corpus, tmp_path)
    jobs = [start_job("featurize", *options, folder=ROOT, address=ray_cluster) for _ in range(2)]
    ended = [(job.ended(), job.returncode) for job in jobs]
    for output, status in ended:
        assert status in (0, 1) or (status == 2 and "another job" in output), output
    assert min(status for _, status in ended) < 2
    assert run_job("featurize", *options) in (0, 1)
    assert rows_of(tmp_path) == rows_of(undisturbed)
