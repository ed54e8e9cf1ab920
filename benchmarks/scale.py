"""How featurization scales from 1 to 8 nodes, simulated on this machine.

    python -m benchmarks.scale

Each node is a Ray node of one CPU. Listing, probing, planning, Ray Data, files and commits are the job's own.
In place of decoder and backbone an actor sleeps for as long as they would take, so that eight nodes fit on
two cores: what grows with their number is what the job itself costs. Floor: the sleeps.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import ray
from ray.cluster_utils import Cluster

from benchmarks.stand_ins import WithoutModel
from vbert.distributed import featurize_flow
from vbert.distributed.featurize import FeaturizeConfig, featurize
from vbert.features.planning import SEGMENTS
from vbert.features.segment_rows import Begin, Effort, feature_table

FEATURE_DIM = 1280


def main() -> None:
    """The same work a node on clusters of several sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--segments-per-node", type=int, default=32)
    parser.add_argument("--segment-seconds", type=float, default=2.5, help="what a segment takes")
    options = parser.parse_args()
    vars(featurize_flow)["FeaturizeSegments"] = sleeping_for(options.segment_seconds)
    ideal_seconds = options.segments_per_node * options.segment_seconds
    print(f"{options.segments_per_node} segments a node, {options.segment_seconds} s each: {ideal_seconds} s")
    print("| nodes | segments | seconds | efficiency |")
    print("|---|---|---|---|")
    for num_nodes in options.nodes:
        num_segments = num_nodes * options.segments_per_node
        seconds = working_seconds(num_nodes, num_segments)
        print(f"| {num_nodes} | {num_segments} | {seconds:.1f} | {ideal_seconds / seconds:.2f} |", flush=True)


def sleeping_for(seconds: float) -> type[WithoutModel]:
    """An actor that takes so long for a segment."""

    class SleepingFeaturizer(WithoutModel):
        def work(self, batch: pa.Table, effort: Effort, begin: Begin) -> tuple[pa.Table, pa.Table]:
            rows = batch.cast(SEGMENTS).to_pylist()
            effort.began_at = time.time()
            time.sleep(seconds * len(rows))
            done = [row | {"state": "done", "num_clips": 1, "num_dropped_clips": 0} for row in rows]
            return pa.Table.from_pylist(done, schema=SEGMENTS), noise(done)

    return SleepingFeaturizer


def noise(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of FEATURES, one clip a segment."""
    columns = {"clip_seconds": 1.5, "clip_start_seconds": [0.0], "warnings": []}
    vectors = [np.random.default_rng(0).normal(size=(1, FEATURE_DIM)).astype(np.float32) for _ in rows]
    return feature_table([row | columns for row in rows], vectors)


def working_seconds(num_nodes: int, num_segments: int) -> float:
    """From the first actor's first segment to the last commit."""
    with tempfile.TemporaryDirectory() as folder, cluster_of(num_nodes):
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        first = write_video(corpus / "0.mp4")
        for number in range(1, num_segments):
            shutil.copy(first, corpus / f"{number}.mp4")
        summary = featurize(FeaturizeConfig(corpus=str(corpus), tables=f"{folder}/tables"))
    assert summary.num_ok == num_segments, summary.failures
    return summary.working_seconds


def write_video(path: Path) -> Path:
    """One clip of nothing: 1.5 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), 8 * number, np.uint8), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@contextmanager
def cluster_of(num_nodes: int) -> Iterator[None]:
    """A head without CPUs, and nodes of one CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(num_nodes):
            cluster.add_node(num_cpus=1)
        os.environ["RAY_ADDRESS"] = cluster.address
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
