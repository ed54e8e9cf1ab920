"""A cluster with a dashboard, as users have it: jobs are submitted to it, and Prometheus asks its nodes.

It stands in this folder to run while this process is connected to no other cluster: Ray would ask that one
for the dashboard's address.
"""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from ray.cluster_utils import Cluster

from tests.ray_nodes import cluster_of
from tests.table_rows import rows_of
from tests.videos import Video, write_video
from vbert.distributed.prometheus import DriverMetrics, WorkerMetrics
from vbert.features.planning import SEGMENTS
from vbert.features.segment_rows import Effort
from vbert.tables.parquet_files import NewFile

pytestmark = [pytest.mark.slow, pytest.mark.seconds(120)]

ROOT = Path(__file__).parents[2]
SEGMENT = {"video_id": "a", "segment_index": 0, "num_dropped_clips": 0}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of one node: those of one machine share a folder, and each replaces there, when its first worker
    starts, the working directory that the driver of another is importing from."""
    often = {"metrics_report_interval_ms": 500}
    head = {"include_dashboard": True, "num_cpus": 1, "_system_config": often}
    with pytest.MonkeyPatch.context() as patch:
        # On a cluster's nodes `python` is the environment's that has vbert.
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        with cluster_of(head=head) as up:
            yield up


@ray.remote(num_cpus=1)
class Worker:
    """A process that lives until its metrics have been read: it tells them with a delay."""

    def work(self) -> None:
        rows = [SEGMENT | {"state": "done", "num_clips": 3}, SEGMENT | {"state": "failed", "num_clips": None}]
        metrics = WorkerMetrics()
        effort = Effort(decode_seconds=1.5, backbone_seconds=2.5)
        metrics.add_segments(pa.Table.from_pylist(rows, schema=SEGMENTS), effort)
        metrics.add_file(NewFile(path="a", partition="f", size_bytes=700, num_rows=1, stats="{}"))
        driver = DriverMetrics()
        for name, reason in (("a", "clip 12 of 40"), ("b", "clip 7 of 80")):
            driver.add_failure({"video_id": name, "status": "failed", "stage": "decode", "reason": reason})
        with driver.commit():
            time.sleep(0.01)


def test_a_node_exports_what_its_processes_have_done(cluster: Cluster):
    """Before there is a job, whose figures would be among them."""
    ray.shutdown()
    ray.init(address=cluster.address)
    try:
        worker = Worker.remote()
        ray.get(worker.work.remote())
        found = exported([node.metrics_export_port for node in cluster.list_all_nodes()])
    finally:
        ray.shutdown()
    assert found["ray_vbert_clips_total"] == [("", 3.0)]
    assert found["ray_vbert_decode_seconds_total"] == [("", 1.5)]
    assert found["ray_vbert_backbone_seconds_total"] == [("", 2.5)]
    assert found["ray_vbert_bytes_written_total"] == [("", 700.0)]
    assert found["ray_vbert_failed_videos_total"] == [("clip N of N", 2.0)]
    assert found["ray_vbert_commit_seconds_count"] == [("", 1.0)]


def test_a_job_is_submitted_to_a_cluster(cluster: Cluster, tmp_path: Path):
    """`ray job submit` with a working directory: the driver runs on the cluster, as do its workers."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_video(corpus / "a.mp4", Video(num_frames=60, fps=Fraction(10)))
    (corpus / "broken.mp4").write_bytes(b"not a video at all")
    command = ["ray", "job", "submit", "--address", f"http://{cluster.webui_url}"]
    command += ["--working-dir", str(ROOT), "--", "python", "jobs/featurize.py"]
    command += ["--corpus", str(corpus), "--tables", str(tmp_path / "tables")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    # `ray job submit` ends with 1 whatever the job's own status was but 0.
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not ok: " in done.stdout, done.stdout + done.stderr
    statuses = {Path(row["uri"]).stem: row["status"] for row in rows_of(tmp_path / "tables")["videos"]}
    assert statuses == {"a": "ok", "broken": "failed"}


def exported(ports: list[int]) -> dict[str, list[tuple[str, float]]]:
    """By name, the label `reason` and the value of each series of ours, once the last of them is there."""
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, list[tuple[str, float]]] = {}
        for port in ports:
            place = f"http://127.0.0.1:{port}/metrics"
            with suppress(OSError), urllib.request.urlopen(place, timeout=5) as answer:
                text = answer.read().decode()
                for name, labels, value in re.findall(r"^(ray_vbert_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
                    reason = re.search(r'reason="([^"]*)"', labels)
                    found.setdefault(name, []).append((reason[1] if reason else "", float(value)))
        if "ray_vbert_commit_seconds_count" in found and "ray_vbert_clips_total" in found:
            return found
        assert time.monotonic() < deadline, sorted(found)
        time.sleep(0.5)
