"""A million clips asked about one by one: search's index beside numpy's product of all vectors.

    python benchmarks/search.py
    python benchmarks/search.py --clips 100000 --dim 1280

Vectors are random. The index is read from its shards for each question, as a command of its own reads them;
numpy has float32 vectors in memory. Best of three.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tyro

from vbert.search.index import INTERVALS, nearest, write_shard

CLIPS_A_SHARD = 20_000
CLIPS_A_VIDEO = 200
NUM_RESULTS = 10


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure."""

    clips: int = 1_000_000
    """Clips in the index."""
    dim: int = 384
    """Dimensions of a vector: 384 of the default model, 1,280 of EfficientNet's features."""


def best_of_three(function: Callable[[], Any]) -> tuple[str, Any]:
    """Seconds by the clock and of CPU, and what it gave."""
    times = []
    for _ in range(3):
        start_seconds, start_cpu_seconds = time.perf_counter(), time.process_time()
        found = function()
        times.append((time.perf_counter() - start_seconds, time.process_time() - start_cpu_seconds))
    clock, cpu = map(min, zip(*times, strict=True))
    return f"{clock:6.2f} s, {cpu:6.2f} s of CPU", found


def main(config: BenchmarkConfig) -> None:
    """Make the index and print the times."""
    chance = np.random.default_rng(0)
    vectors = np.empty((config.clips, config.dim), np.float32)
    start_seconds = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        uris = []
        for first in range(0, config.clips, CLIPS_A_SHARD):
            part = chance.standard_normal((min(CLIPS_A_SHARD, config.clips - first), config.dim), np.float32)
            vectors[first : first + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
            places = np.arange(first, first + len(part))
            columns = {
                "video_id": [f"v{place // CLIPS_A_VIDEO}" for place in places.tolist()],
                "start_seconds": 1.5 * places,
                "end_seconds": 1.5 * places + 1.5,
            }
            uris.append(f"{folder}/{first}.arrow")
            write_shard(uris[-1], pa.table(columns, schema=INTERVALS), part)
        print(f"{config.clips:,} clips of {config.dim} in {len(uris)} shards", end=" ")
        print(f"written in {time.perf_counter() - start_seconds:.1f} s")
        asked = vectors[7] + 0.02 * chance.standard_normal(config.dim, np.float32)
        asked /= np.linalg.norm(asked)
        index_time, hits = best_of_three(
            lambda: nearest(uris, asked, num_results=NUM_RESULTS, num_per_video=CLIPS_A_VIDEO)
        )

    def product() -> np.ndarray:
        scores = vectors @ asked
        best = np.argpartition(-scores, NUM_RESULTS)[:NUM_RESULTS]
        return best[np.argsort(-scores[best])]

    product_time, best = best_of_three(product)
    found = {round(hit.start_seconds / 1.5) for hit in hits}
    print(f"index, read from files  {index_time}")
    print(f"numpy, in memory        {product_time}")
    print(f"the same results        {len(found & set(best.tolist()))} of {NUM_RESULTS}")
    print(
        f"peak memory             {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB, numpy's"
    )


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig))
