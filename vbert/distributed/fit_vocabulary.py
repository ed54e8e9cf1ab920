"""Ray fits the visual vocabulary: two passes over the features, of which the first reads no vector.

The first finds which priority the sample ends at, the second brings the clips up to it: no worker ever holds
more than its own share of the sample.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import torch
from tyro.conf import OmitArgPrefixes

from vbert.distributed.cluster import connect
from vbert.distributed.resources import count_cpus
from vbert.storage.files import check_output, with_absolute_paths
from vbert.tables.delta import Table
from vbert.tables.reading import choose_featurizer
from vbert.tables.schemas import FEATURES, unpack_vectors
from vbert.vocabulary.sampling import priorities, threshold_of
from vbert.vocabulary.tree import Quality, Sample, VocabularyConfig, fit_vocabulary, merge_samples, save

BYTES_HERE = 256 * 2**20  # of files at most: this process has read them before Ray would have started
CLIP_COLUMNS = ["video_id", "clip_start_seconds"]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Fit a visual vocabulary on a sample of the features table."""

    tables: str
    """Folder or bucket URL of the tables that featurize wrote."""
    featurizer: str | None = None
    """Whose features, as featurize printed it (s3d-0123abcd); may be left out where there is only one."""
    vocabulary: OmitArgPrefixes[VocabularyConfig] = field(default_factory=VocabularyConfig)


@dataclass(frozen=True, kw_only=True)
class FitSummary:
    """Where the vocabulary is and how good it is."""

    uri: str
    featurizer: str
    num_leaves: int
    quality: Quality
    seconds: float


def fit(config: FitConfig) -> FitSummary:
    """Sample, cluster, save under `<tables>/vocabularies/<id>`. On the driver's GPU, if any."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables")
    features = Table(config.tables, FEATURES)
    featurizer = choose_featurizer(config.featurizer, features)
    folder = f"{config.tables.rstrip('/')}/vocabularies"
    check_output(folder, kind="folder")
    sample = draw_sample(
        features, featurizer=featurizer, size=config.vocabulary.sample_size, seed=config.vocabulary.seed
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vocabulary = fit_vocabulary(sample, config=config.vocabulary, featurizer=featurizer, device=device)
    assert vocabulary.quality is not None, "fit_vocabulary measures it"
    return FitSummary(
        uri=save(vocabulary, folder),
        featurizer=featurizer,
        num_leaves=vocabulary.num_leaves,
        quality=vocabulary.quality,
        seconds=time.monotonic() - start_seconds,
    )


def draw_sample(features: Table, *, featurizer: str, size: int, seed: int) -> Sample:
    """The `size` clips of the lowest priorities (`sampling`), or all: the same for any number of workers."""
    files = features.stored(partition=featurizer)
    if sum(file.size_bytes for file in files) <= BYTES_HERE:
        return _drawn_here(features, [file.path for file in files], size=size, seed=seed)
    connect()
    num_shares = min(len(files), 4 * count_cpus())
    shares = [share.tolist() for share in np.array_split([file.path for file in files], num_shares)]

    @ray.remote(num_cpus=1)
    def lowest(share: list[str]) -> np.ndarray:
        return lowest_priorities(features, share, size=size, seed=seed)

    @ray.remote(num_cpus=1)
    def take(share: list[str], threshold: int) -> Sample:
        return clips_up_to(features, share, threshold=threshold, seed=seed)

    threshold = threshold_of(ray.get([lowest.remote(share) for share in shares]), size=size)
    return merge_samples(ray.get([take.remote(share, threshold) for share in shares]), seed=seed, size=size)


def _drawn_here(features: Table, paths: Sequence[str], *, size: int, seed: int) -> Sample:
    """The same, before Ray would have started."""
    threshold = threshold_of([lowest_priorities(features, paths, size=size, seed=seed)], size=size)
    taken = clips_up_to(features, paths, threshold=threshold, seed=seed)
    return merge_samples([taken], seed=seed, size=size)


def lowest_priorities(features: Table, paths: Sequence[str], *, size: int, seed: int) -> np.ndarray:
    """The `size` lowest priorities of the clips in these files, uint64."""
    found = np.zeros(0, np.uint64)
    for path in paths:
        groups = features.row_groups(path, columns=CLIP_COLUMNS)
        found = np.concatenate([found, *(priorities(*_clips(rows), seed=seed) for rows in groups)])
        if len(found) > size:
            found = np.partition(found, size)[:size]
    return found


def clips_up_to(features: Table, paths: Sequence[str], *, threshold: int, seed: int) -> Sample:
    """The clips of these files whose priority is at most `threshold`."""
    vectors, names, times = [], [], []
    for path in paths:
        for rows in features.row_groups(path, columns=[*CLIP_COLUMNS, "features"]):
            video_ids, starts = _clips(rows)
            mine = np.flatnonzero(priorities(video_ids, starts, seed=seed) <= np.uint64(threshold))
            vectors.append(unpack_vectors(rows["features"])[mine])
            names += [video_ids[row] for row in mine]
            times.append(starts[mine])
    return Sample(features=np.concatenate(vectors), video_ids=names, start_seconds=np.concatenate(times))


def _clips(rows: pa.Table) -> tuple[list[str], np.ndarray]:
    """The video and the start of every clip of these segments."""
    starts = rows["clip_start_seconds"].combine_chunks()
    owners = rows["video_id"].take(pc.list_parent_indices(starts))
    return owners.to_pylist(), starts.flatten().to_numpy(zero_copy_only=False)
