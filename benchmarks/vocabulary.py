"""Fit and assign of the visual vocabulary against scikit-learn's MiniBatchKMeans and a search of all leaves.

    python benchmarks/vocabulary.py
    python benchmarks/vocabulary.py --clips 1000000 --dim 1024 --depth 4 --skip-fit --skip-flat

Both fits make the same number of clusters of the same clips; both assignments use the fitted tree's leaves
(with --skip-fit: leaves that are clips). Every measurement has a process of its own. About a minute.

Features are made up: clips about centers of very different weight, in directions of very different variance.
A tree's error is above that of flat clusters, whoever fits it, and the more so the less order there is among
the centers. Measured on 20,000 clips, 128 dimensions, 1,000 centers, 8^3 leaves: 1.45 times flat k-means, and
1.9 times where all directions count alike. A tree of scikit-learn's KMeans comes within 2 % of ours on both.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro

from vbert.kmeans import squared_errors
from vbert.vocabulary import Sample, Vocabulary, VocabularyConfig, fit_vocabulary, load, save

NUM_CENTERS = 3_000
ROWS_PER_BLOCK = 4_096  # of what is made up, and of the flat search


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure."""

    clips: int = 60_000
    """Clips to fit on and to assign."""
    dim: int = 256
    """Dimensions of a feature."""
    branching: int = 12
    """Children of a node."""
    depth: int = 3
    """Levels."""
    threads: int = 1
    """Of torch and of scikit-learn."""
    skip_fit: bool = False
    """Measure no fit."""
    skip_flat: bool = False
    """Do not search all leaves; 1 M x 1,024 takes it about 42 TFLOP."""


class Measured(NamedTuple):
    """One line of the table."""

    seconds: float
    peak_gb: float
    mean_squared_error: float


def write_features(path: Path, *, num_clips: int, dim: int) -> None:
    """Float32 [num_clips, dim] as .npy, in blocks."""
    random = np.random.default_rng(0)
    scales = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    scales /= np.sqrt((scales**2).mean())
    centers = random.standard_normal((NUM_CENTERS, dim)).astype(np.float32) * scales
    shares = 1 / np.arange(1, NUM_CENTERS + 1)  # Zipf's law: the first center has 11 % of the clips
    out = np.lib.format.open_memmap(path, "w+", np.float32, (num_clips, dim))
    for start in range(0, num_clips, ROWS_PER_BLOCK):
        size = min(ROWS_PER_BLOCK, num_clips - start)
        owners = random.choice(NUM_CENTERS, size, p=shares / shares.sum())
        noise = 0.5 * random.standard_normal((size, dim), np.float32) * scales
        out[start : start + size] = centers[owners] + noise


def random_tree(features: np.ndarray, config: BenchmarkConfig) -> Vocabulary:
    """A tree whose centroids are clips: as fast as a fitted one, and there at once."""
    random = np.random.default_rng(1)
    levels = []
    for level in range(config.depth):
        rows = random.integers(0, len(features), config.branching ** (level + 1))
        levels.append(torch.from_numpy(features[rows].reshape(-1, config.branching, config.dim)))
    return Vocabulary(featurizer="benchmark", centroids=levels)


def tree_fit(folder: Path, config: BenchmarkConfig) -> Measured:
    """Ours; leaves the vocabulary in the folder."""
    features = np.load(folder / "features.npy")
    count = len(features)
    sample = Sample(features=features, video_ids=["video"] * count, start_seconds=np.arange(count) * 1.5)
    shape = VocabularyConfig(branching=config.branching, depth=config.depth)
    start = time.perf_counter()
    vocabulary = fit_vocabulary(sample, config=shape, featurizer="benchmark")
    seconds = time.perf_counter() - start
    (folder / "uri").write_text(save(vocabulary, str(folder)))
    assert vocabulary.quality is not None, "fit_vocabulary measures it"
    return Measured(seconds, peak_gb(), vocabulary.quality.quantization_error)


def mini_batch_fit(folder: Path, config: BenchmarkConfig) -> Measured:
    """scikit-learn's, as it comes, with as many clusters as there are leaves."""
    from sklearn.cluster import MiniBatchKMeans  # 1 s that no other process needs

    features = np.load(folder / "features.npy")
    model = MiniBatchKMeans(config.branching**config.depth, n_init=1, random_state=0)
    start = time.perf_counter()
    labels = model.fit_predict(features)
    seconds = time.perf_counter() - start
    return Measured(seconds, peak_gb(), mean_squared_error(features, model.cluster_centers_, labels))


def tree_assign(folder: Path, config: BenchmarkConfig) -> Measured:
    """Ours: down the tree."""
    features, vocabulary = np.load(folder / "features.npy"), load((folder / "uri").read_text())
    start = time.perf_counter()
    tokens = vocabulary.assign(features)
    seconds = time.perf_counter() - start
    return Measured(
        seconds,
        peak_gb(),
        mean_squared_error(features, vocabulary.centroids[-1].flatten(0, 1).numpy(), tokens),
    )


def flat_assign(folder: Path, config: BenchmarkConfig) -> Measured:
    """The nearest of all leaves, in float32: one product of matrices for each block."""
    features, vocabulary = np.load(folder / "features.npy"), load((folder / "uri").read_text())
    leaves = vocabulary.centroids[-1].flatten(0, 1)
    used = (~leaves.isnan().any(1)).nonzero().flatten()
    centroids = leaves[used]
    start = time.perf_counter()
    lengths = centroids.square().sum(1)
    labels = []
    for first in range(0, len(features), ROWS_PER_BLOCK):
        points = torch.from_numpy(features[first : first + ROWS_PER_BLOCK])
        labels.append((lengths - 2 * (points @ centroids.T)).argmin(1))
    tokens = used[torch.cat(labels)].numpy()
    seconds = time.perf_counter() - start
    return Measured(seconds, peak_gb(), mean_squared_error(features, leaves.numpy(), tokens))


def mean_squared_error(features: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of each clip to the centroid that it was given."""
    squares = squared_errors(
        torch.from_numpy(features), torch.from_numpy(centroids), torch.from_numpy(labels.astype(np.int64))
    )
    return float(squares.mean(dtype=torch.float64))


def peak_gb() -> float:
    """Of this process, so far; imports are 0.4 GB of it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(run: Callable[[Path, BenchmarkConfig], Measured], folder: Path, config: BenchmarkConfig) -> float:
    """Run it in a process of its own, print its line, give its seconds."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        measured = pool.submit(run, folder, config).result()
    clips_per_second = config.clips / measured.seconds
    print(
        f"{run.__name__:15} {measured.seconds:9.1f} {clips_per_second:12,.0f} {measured.peak_gb:10.2f} "
        f"{measured.mean_squared_error:12.3f}",
        flush=True,
    )
    return measured.seconds


def main(config: BenchmarkConfig) -> None:
    """Print the table."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read by the processes when they start
        os.environ[name] = str(config.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_features(folder / "features.npy", num_clips=config.clips, dim=config.dim)
        size_gb = config.clips * config.dim * 4 / 1e9
        leaves = config.branching**config.depth
        print(f"{config.clips:,} clips x {config.dim}: {size_gb:.2f} GB; {leaves:,} leaves")
        print(f"{'':15} {'seconds':>9} {'clips/s':>12} {'peak RSS GB':>10} {'mean sq err':>12}")
        if config.skip_fit:
            tree = random_tree(np.load(folder / "features.npy", mmap_mode="r"), config)
            (folder / "uri").write_text(save(tree, str(folder)))
        else:
            ours = measure(tree_fit, folder, config)
            print(f"{'':15} ours is {measure(mini_batch_fit, folder, config) / ours:.1f} times as fast")
        ours = measure(tree_assign, folder, config)
        if not config.skip_flat:
            print(f"{'':15} ours is {measure(flat_assign, folder, config) / ours:.1f} times as fast")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
