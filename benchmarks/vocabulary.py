"""Fit and assign of the visual vocabulary against scikit-learn's MiniBatchKMeans and faiss's flat search.

    python benchmarks/vocabulary.py
    python benchmarks/vocabulary.py --clips 1000000 --dim 1024 --depth 4 --assign-clips 10000000 \\
        --peer-clips 100000

The fits make the same number of clusters of the same clips; the assignments use the fitted tree's leaves.
The first table is of trees of 1 level to `depth` whose leaves are clips: the cost of a clip against the log
of the leaves. Every measurement has a process of its own. A minute; as in the second line, forty.

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
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro

from vbert.vocabulary.kmeans import squared_errors
from vbert.vocabulary.tree import Sample, Vocabulary, VocabularyConfig, fit_vocabulary, load, save

NUM_CENTERS = 3_000
ROWS_PER_BLOCK = 4_096  # of what is made up, and of the flat search


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure."""

    clips: int = 60_000
    """Clips to fit on."""
    assign_clips: int = 60_000
    """Clips to assign: those, over and over."""
    peer_clips: int = 60_000
    """Clips that faiss assigns; 20,736 leaves of 1,024 dimensions cost it 42 MFLOP each."""
    dim: int = 256
    """Dimensions of a feature."""
    branching: int = 12
    """Children of a node."""
    depth: int = 3
    """Levels."""
    threads: int = 2
    """Of torch, scikit-learn and faiss."""


class Measured(NamedTuple):
    """One line of the table."""

    num_clips: int
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
    return Measured(count, seconds, peak_gb(), vocabulary.quality.quantization_error)


def mini_batch_fit(folder: Path, config: BenchmarkConfig) -> Measured:
    """scikit-learn's, as it comes, with as many clusters as there are leaves."""
    from sklearn.cluster import MiniBatchKMeans  # 1 s that no other process needs

    features = np.load(folder / "features.npy")
    model = MiniBatchKMeans(config.branching**config.depth, n_init=1, random_state=0)
    start = time.perf_counter()
    labels = model.fit_predict(features)
    seconds = time.perf_counter() - start
    error = mean_squared_error(features, model.cluster_centers_, labels)
    return Measured(len(features), seconds, peak_gb(), error)


def tree_assign(folder: Path, config: BenchmarkConfig) -> Measured:
    """Ours: down the tree. The clips of one pass are in memory."""
    features, vocabulary = np.load(folder / "features.npy"), load((folder / "uri").read_text())
    num_passes = max(1, config.assign_clips // len(features))
    start = time.perf_counter()
    for _ in range(num_passes):
        tokens = vocabulary.assign(features)
    seconds = time.perf_counter() - start
    error = mean_squared_error(features, vocabulary.centroids[-1].flatten(0, 1).numpy(), tokens)
    return Measured(num_passes * len(features), seconds, peak_gb(), error)


def flat_assign(folder: Path, config: BenchmarkConfig) -> Measured:
    """faiss: the nearest of all leaves, in float32."""
    import faiss

    faiss.omp_set_num_threads(config.threads)
    features = np.load(folder / "features.npy", mmap_mode="r")[: config.peer_clips]
    leaves = load((folder / "uri").read_text()).centroids[-1].flatten(0, 1)
    used = (~leaves.isnan().any(1)).nonzero().flatten()
    index = faiss.IndexFlatL2(leaves.shape[1])
    index.add(leaves[used].numpy())
    labels = []
    start = time.perf_counter()
    for first in range(0, len(features), ROWS_PER_BLOCK):
        labels.append(index.search(features[first : first + ROWS_PER_BLOCK], 1)[1][:, 0])
    seconds = time.perf_counter() - start
    tokens = used.numpy()[np.concatenate(labels)]
    error = mean_squared_error(np.array(features), leaves.numpy(), tokens)
    return Measured(len(features), seconds, peak_gb(), error)


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
    """Run it in a process of its own, print its line, give its clips a second."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        measured = pool.submit(run, folder, config).result()
    clips_per_second = measured.num_clips / measured.seconds
    print(
        f"{run.__name__:15} {measured.num_clips:12,} {measured.seconds:9.1f} {clips_per_second:12,.0f} "
        f"{measured.peak_gb:11.2f} {measured.mean_squared_error:12.3f}",
        flush=True,
    )
    return clips_per_second


def compare(folder: Path, config: BenchmarkConfig) -> None:
    """Ours and the peers; what takes longest comes last."""
    print(f"{'':15} {'clips':>12} {'seconds':>9} {'clips/s':>12} {'peak RSS GB':>11} {'mean sq err':>12}")
    fit = measure(tree_fit, folder, config)
    assign = measure(tree_assign, folder, config)
    print(f"{'':15} assigning {assign / measure(flat_assign, folder, config):.1f} times as fast as faiss")
    print(
        f"{'':15} fitting {fit / measure(mini_batch_fit, folder, config):.1f} times as fast as scikit-learn"
    )


def print_growth(folder: Path, config: BenchmarkConfig) -> None:
    """The cost of a clip in trees of different depth."""
    print(f"{'leaves':>9} {'log':>4} {'us a clip':>10} {'over the log':>13}")
    features = np.load(folder / "features.npy", mmap_mode="r")
    for depth in range(1, config.depth + 1):
        shape = replace(config, depth=depth)
        (folder / "uri").write_text(save(random_tree(features, shape), str(folder)))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            measured = pool.submit(tree_assign, folder, replace(shape, assign_clips=0)).result()
        microseconds = 1e6 * measured.seconds / measured.num_clips
        print(f"{config.branching**depth:9,} {depth:4} {microseconds:10.1f} {microseconds / depth:13.1f}")


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
        print_growth(folder, config)
        compare(folder, config)


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
