"""The visual vocabulary against scikit-learn's MiniBatchKMeans (fit) and a flat search (assign).

    python benchmarks/vocabulary.py
    python benchmarks/vocabulary.py --num-clips 1000000 --num-dimensions 1024 --assign-only

Features are drawn around as many centres as there are leaves, so that there is something to find.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from vbert.kmeans import nearest
from vbert.vocabulary import Sample, Vocabulary, VocabularyConfig, fit_vocabulary

Result = TypeVar("Result")


def main() -> None:
    """Print seconds, errors and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-clips", type=int, default=60_000)
    parser.add_argument("--num-dimensions", type=int, default=256)
    parser.add_argument("--branching", type=int, default=12)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--assign-only", action="store_true", help="take clips as centroids and fit nothing")
    options = parser.parse_args()
    config = VocabularyConfig(branching=options.branching, depth=options.depth)
    num_leaves = config.branching**config.depth
    features = draw(options.num_clips, options.num_dimensions, num_centers=min(num_leaves, 20_000))
    print(
        f"{options.num_clips:,} clips x {options.num_dimensions:,} dimensions, {config.branching}^{config.depth} = "
        f"{num_leaves:,} leaves, {torch.get_num_threads()} threads, {peak_gigabytes():.1f} GB before"
    )
    vocabulary = tree_of_clips(features, config) if options.assign_only else compare_fits(features, config)
    compare_assignments(vocabulary, features)
    print(f"peak memory {peak_gigabytes():.1f} GB")


def compare_fits(features: np.ndarray, config: VocabularyConfig) -> Vocabulary:
    """Fit both on the same clips; the peer gets as many clusters as there are leaves."""
    sample = Sample(
        features=features, video_ids=["v"] * len(features), start_seconds=np.arange(len(features))
    )
    seconds, vocabulary = timed(lambda: fit_vocabulary(sample, config=config, featurizer="benchmark"))
    peer = MiniBatchKMeans(config.branching**config.depth, n_init=1, random_state=0, batch_size=4096)
    peer_seconds, peer = timed(lambda: peer.fit(features))
    assert vocabulary.quality is not None
    error, peer_error = vocabulary.quality.quantization_error, peer.inertia_ / len(features)
    print(f"fit     tree {seconds:7.1f} s, error {error:.4g}")
    print(f"        MiniBatchKMeans {peer_seconds:7.1f} s, error {peer_error:.4g}")
    print(
        f"        time {seconds / peer_seconds:.2f} of the peer's, error {error / peer_error:.2f} of the peer's"
    )
    return vocabulary


def compare_assignments(vocabulary: Vocabulary, features: np.ndarray) -> None:
    """The tree on all clips; the flat search on as many as it does in about the same time."""
    seconds, tokens = timed(lambda: vocabulary.assign(features))
    some = torch.from_numpy(features[: max(1000, len(features) // 20)])
    leaves = vocabulary.leaf_centroids(torch.from_numpy(np.unique(tokens).astype(np.int64)))
    flat_seconds, _ = timed(lambda: nearest(some, leaves))
    rate, flat_rate = len(features) / seconds, len(some) / flat_seconds
    print(f"assign  tree {seconds:7.1f} s, {rate:,.0f} clips/s; flat search {flat_rate:,.0f} clips/s")
    print(f"        {rate / flat_rate:.1f} times the flat search's rate")


def tree_of_clips(features: np.ndarray, config: VocabularyConfig) -> Vocabulary:
    """A tree as large as a fitted one, its centroids taken from the clips at random."""
    chance = np.random.default_rng(1)
    centroids = [
        torch.from_numpy(
            features[chance.integers(len(features), size=config.branching ** (level + 1))].reshape(
                config.branching**level, config.branching, -1
            )
        )
        for level in range(config.depth)
    ]
    return Vocabulary(featurizer="benchmark", centroids=centroids)


def draw(num_clips: int, num_dimensions: int, *, num_centers: int) -> np.ndarray:
    """Float32 [num_clips, num_dimensions] around `num_centers` points, in blocks: no copy of the whole."""
    chance = np.random.default_rng(0)
    centers = chance.standard_normal((num_centers, num_dimensions), np.float32) * 3
    features = np.empty((num_clips, num_dimensions), np.float32)
    for start in range(0, num_clips, 10_000):
        rows = features[start : start + 10_000]
        rows[:] = chance.standard_normal(rows.shape, np.float32)
        rows += centers[chance.integers(num_centers, size=len(rows))]
    return features


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds by the clock, and what came of it."""
    start = time.monotonic()
    result = work()
    return time.monotonic() - start, result


def peak_gigabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
