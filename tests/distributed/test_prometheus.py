"""Metrics as Prometheus finds them: on a node of a real cluster, by their names."""

import re
import time
import urllib.request
from contextlib import suppress

import pyarrow as pa
import pytest
import ray

from tests.ray_nodes import WITH_DASHBOARD, cluster_of
from vbert.distributed.prometheus import DriverMetrics, WorkerMetrics
from vbert.features.planning import SEGMENTS
from vbert.features.segment_rows import Effort
from vbert.tables.parquet_files import NewFile

pytestmark = pytest.mark.slow

SEGMENT = {"video_id": "a", "segment_index": 0, "num_dropped_clips": 0}


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


def test_a_node_exports_what_its_processes_have_done():
    often = {"metrics_report_interval_ms": 500}
    head = {**WITH_DASHBOARD, "_system_config": often}
    with cluster_of({"num_cpus": 1}, head=head) as cluster:
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
