"""A first run: memory of the driver and of the object store against the number of new videos.

    python -m benchmarks.first_run --num-videos 131072 524288

The bucket is not there (benchmarks/simulated_store.py), a probe says that each video has one segment, and an
actor that it is done: listing, planning, Ray, the flow of segments and the ledger's commits are the job's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
from typing import Any

import pyarrow as pa
import ray

from benchmarks.simulated_store import register
from benchmarks.stand_ins import WithoutModel
from vbert.distributed import featurize_flow, featurize_plan
from vbert.distributed.featurize import FeaturizeConfig, featurize
from vbert.features.planning import SEGMENTS
from vbert.features.segment_rows import Begin, Effort
from vbert.tables.parquet_files import with_columns_of
from vbert.tables.schemas import FEATURES


def main() -> None:
    """A process for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-videos", type=int, nargs="+", default=[131_072, 524_288])
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(first_run(options.run)))
        return
    print("| new videos | seconds | driver's peak, MB | object store's peak, MB |")
    print("|---|---|---|---|")
    for num_videos in options.num_videos:
        command = [sys.executable, "-m", "benchmarks.first_run", "--run", str(num_videos)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds, *peaks = json.loads(said.splitlines()[-1])
        print(
            f"| {num_videos:,} | {seconds:.0f} | {' | '.join(f'{peak:,.0f}' for peak in peaks)} |", flush=True
        )


def first_run(num_videos: int) -> tuple[float, float, float]:
    """Seconds, and megabytes at most in this process and in the object store."""
    register()
    vars(featurize_plan)["plan_videos"] = one_segment_each
    vars(featurize_flow)["FeaturizeSegments"] = Done
    held: list[float] = [0.0]
    watching = threading.Thread(target=watch, args=(held,), daemon=True)
    watching.start()
    with tempfile.TemporaryDirectory() as tables:
        summary = featurize(FeaturizeConfig(corpus=f"simulated://{num_videos}-0/videos", tables=tables))
    assert summary.num_ok == num_videos, summary
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return summary.seconds, peak, max(held) / 1e6


def watch(held: list[float]) -> None:
    """Note each second what the object store holds."""
    ended = threading.Event()
    while not ended.wait(1.0):
        if ray.is_initialized():
            name = "object_store_memory"
            held.append(ray.cluster_resources().get(name, 0) - ray.available_resources().get(name, 0))


def one_segment_each(pending: pa.Table, *_: object, featurizer: str, **__: object) -> pa.Table:
    """In place of `plan_videos`."""
    count = pending.num_rows
    same: dict[str, Any] = {
        "featurizer": featurizer,
        "num_segments": 1,
        "num_segments_here": 1,
        "segment_index": 0,
        "first_clip": 0,
        "num_planned_clips": 1,
        "is_listed": False,
        "replaces": False,
        "state": "pending",
        "duration_seconds": 1.5,
        "warnings": [],
    }
    for name, value in same.items():
        pending = pending.append_column(name, pa.repeat(pa.scalar(value, SEGMENTS.field(name).type), count))
    return with_columns_of(pending, SEGMENTS).cast(SEGMENTS)


class Done(WithoutModel):
    """It says that all is done."""

    def work(self, batch: pa.Table, effort: Effort, begin: Begin) -> tuple[pa.Table, pa.Table]:
        """All are done, and there is nothing of them."""
        count = batch.num_rows
        states = {"state": pa.repeat("done", count), "num_clips": pa.repeat(pa.scalar(1, pa.int32()), count)}
        for name, values in states.items():
            batch = batch.set_column(batch.schema.get_field_index(name), SEGMENTS.field(name), values)
        return batch.cast(SEGMENTS), FEATURES.schema.empty_table()


if __name__ == "__main__":
    main()
