"""The visual vocabulary: hierarchical k-means over features, whose leaves are the visual tokens.

VideoBERT (Sun et al. 2019, section 4.2) clusters S3D features with branching 12 and depth 4 into
12^4 = 20,736 visual words. A token costs branching * depth = 48 distances then, not 20,736.

N clips, D dimensions.
"""

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from vbert.errors import UserError
from vbert.storage.files import read_small_file, write_file
from vbert.tables.schemas import is_id
from vbert.vocabulary.kmeans import blocks, kmeans, nearest, squared_errors
from vbert.vocabulary.sampling import priorities

TENSORS, FACTS = "vocabulary.safetensors", "vocabulary.json"
NUM_EXEMPLARS = 3
# Clips that descend together: 65,536 x 1,024 dimensions x 4 B = 256 MB. Some 38 meet in each of the last
# level's 1,728 nodes; with fewer, the time goes into calls.
CLIPS_AT_ONCE = 65_536

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class VocabularyConfig:
    """The shape of a visual vocabulary and how it is fitted."""

    branching: int = 12
    """Children of a node."""
    depth: int = 4
    """Levels; there are branching ** depth leaves, 20,736 by default."""
    sample_size: int = 1_000_000
    """Clips that it is fitted on, drawn from all; 1 M of 1,024 dimensions are 4 GB of memory."""
    num_iterations: int = 25
    """Most of Lloyd's iterations for a node; it stops earlier once nothing moves."""
    seed: int = 0
    """Of the sample and of the clustering."""

    def __post_init__(self) -> None:
        for name, least in (("branching", 2), ("depth", 1), ("sample_size", 1), ("num_iterations", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.depth * math.log2(self.branching) > 31:
            raise UserError(f"branching {self.branching} ** depth {self.depth} leaves do not fit int32")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Clips to fit on: `features` float32 [N, D], and where each clip comes from (start_seconds float64 [N]).

    Their priorities are not kept: the seed and a clip's name give them (see `sampling`).
    """

    features: np.ndarray
    video_ids: Sequence[str]
    start_seconds: np.ndarray


def take_sample(
    features: np.ndarray, video_ids: Sequence[str], start_seconds: np.ndarray, *, seed: int, size: int
) -> Sample:
    """The `size` clips of the lowest priorities, or all, lowest first; a clip that comes twice counts once.

    The same clips in the same order however the rows are ordered, so a fit on it is the same too.
    """
    _, rows = np.unique(priorities(video_ids, start_seconds, seed=seed), return_index=True)
    rows = rows[:size]
    return Sample(
        features=features[rows],
        video_ids=np.asarray(video_ids, dtype=object)[rows].tolist(),
        start_seconds=start_seconds[rows],
    )


def merge_samples(samples: Sequence[Sample], *, seed: int, size: int) -> Sample:
    """The sample of the union, if each was taken with this seed and at least this size.

    One sample or more; samples of no clip may have any D.
    """
    parts = [sample for sample in samples if len(sample.features)] or samples[:1]
    return take_sample(
        np.concatenate([part.features for part in parts]),
        [video_id for part in parts for video_id in part.video_ids],
        np.concatenate([part.start_seconds for part in parts]),
        seed=seed,
        size=size,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How well a vocabulary describes the sample that it was fitted on."""

    num_clips: int
    quantization_error: float
    """Mean squared distance of a clip to its leaf's centroid."""
    unexplained_variance: float
    """The same over the clips' total variance: 0 perfect, 1 no better than one token."""
    num_used_leaves: int
    num_empty_leaves: int
    entropy_bits: float
    """Of the distribution of tokens; log2 of the leaves at most."""
    entropy_share: float
    """Of that most."""
    largest_leaf_share: float
    """Share of the clips that the most frequent token has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A clip that stands for a token: it is one of the nearest to the leaf's centroid."""

    video_id: str
    start_seconds: float
    distance: float


class Vocabulary:
    """A tree of centroids. Leaf ids are 0 .. branching ** depth - 1, read as a number of `depth` digits.

    The id space is that of the whole tree, so that the model's embedding has the same size whatever the
    sample was. A node whose sample had fewer distinct clips than `branching` has fewer children, and ids
    below the missing ones are never assigned. `config` is how it was fitted, where that is known.
    """

    def __init__(
        self,
        *,
        featurizer: str,
        centroids: Sequence[torch.Tensor],
        config: VocabularyConfig | None = None,
        quality: Quality | None = None,
        exemplars: dict[int, list[Exemplar]] | None = None,
    ) -> None:
        # Level l is [branching ** l, branching, D]; a missing child is NaN.
        self.featurizer = featurizer
        self.centroids = list(centroids)
        self.config = config
        self.quality = quality
        self.exemplars = exemplars or {}
        self.depth = len(self.centroids)
        self.branching, self.feature_dim = self.centroids[0].shape[1:]
        self.num_leaves = self.branching**self.depth
        self.id = _content_hash(featurizer, self.centroids)
        self._present = [~level.isnan().any(-1) for level in self.centroids]

    def assign(self, features: np.ndarray) -> np.ndarray:
        """Visual tokens, int32 [N], of features float32 [N, D]: nearest child, level by level.

        A clip's token does not hang on the clips beside it. UserError for another D, NaN or infinity.
        """
        if len(features) == 0:
            return np.zeros(0, np.int32)
        if features.shape[1:] != (self.feature_dim,):
            raise UserError(
                f"vocabulary {self.id} wants {self.feature_dim} dimensions, got {features.shape[1]}"
            )
        tokens = np.empty(len(features), np.int32)
        for start in range(0, len(features), CLIPS_AT_ONCE):
            rows = slice(start, start + CLIPS_AT_ONCE)
            tokens[rows] = self._descend(_finite_points(features[rows])).numpy()
        return tokens

    def leaf_centroids(self, leaves: torch.Tensor) -> torch.Tensor:
        """[N] leaf ids -> float32 [N, D]; a leaf that is never assigned may be NaN."""
        return self.centroids[-1].flatten(0, 1)[leaves]

    def _descend(self, points: torch.Tensor) -> torch.Tensor:
        nodes = torch.zeros(len(points), dtype=torch.int64)
        for centroids, present in zip(self.centroids, self._present, strict=True):
            children = torch.empty_like(nodes)
            for node, rows, members in _by_node(points, nodes):
                alive = present[node].nonzero().flatten()
                children[rows] = alive[nearest(members, centroids[node, alive])]
            nodes = nodes * self.branching + children
        return nodes


def fit_vocabulary(
    sample: Sample, *, config: VocabularyConfig, featurizer: str, device: str = "cpu"
) -> Vocabulary:
    """Cluster the sample, then each cluster, `depth` times. UserError if there is nothing to cluster.

    The same sample, in the same order, config and device (on a CPU: and number of threads) give the same
    vocabulary.
    """
    if len(sample.features) == 0:
        raise UserError("there is no clip to fit a vocabulary on; run featurize first")
    points = _finite_points(sample.features)
    vocabulary = Vocabulary(
        featurizer=featurizer, centroids=_fit_levels(points.to(device), config), config=config
    )
    tokens = torch.from_numpy(vocabulary.assign(points.numpy()).astype(np.int64))
    squares = squared_errors(points, vocabulary.centroids[-1].flatten(0, 1), tokens)
    vocabulary.quality = _quality(points, tokens, squares, num_leaves=vocabulary.num_leaves)
    vocabulary.exemplars = _exemplars(sample, tokens, squares)
    return vocabulary


def _fit_levels(points: torch.Tensor, config: VocabularyConfig) -> list[torch.Tensor]:
    """The tree's centroids, on the CPU: level l is [branching ** l, branching, D]."""
    generator = torch.Generator().manual_seed(config.seed)
    nodes = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    levels = []
    for level in range(config.depth):
        start_seconds = time.monotonic()
        centroids = torch.full((config.branching**level, config.branching, points.shape[1]), torch.nan)
        for node, rows, members in _by_node(points, nodes):
            found = kmeans(
                members,
                num_clusters=config.branching,
                num_iterations=config.num_iterations,
                generator=generator,
            )
            centroids[node, : len(found.centroids)] = found.centroids.cpu()
            nodes[rows] = node * config.branching + found.labels
        levels.append(centroids)
        seconds = time.monotonic() - start_seconds
        logger.info("level %d of %d: %d nodes in %.1f s", level + 1, config.depth, len(centroids), seconds)
    return levels


def _finite_points(features: np.ndarray) -> torch.Tensor:
    """Float32 [N, D] with the array's memory where that is possible. UserError for NaN or infinity.

    What Arrow gives is read-only, and torch takes no such memory: it is copied.
    """
    points = torch.from_numpy(np.require(features, np.float32, ["C", "W"]))
    if not all(bool(torch.isfinite(points[rows]).all()) for rows in blocks(points)):
        raise UserError("features hold NaN or infinity, which have no nearest centroid; featurize again")
    return points


def _by_node(points: torch.Tensor, nodes: torch.Tensor) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Each node that has points, their rows, and the points: a copy, unless they are all."""
    order = nodes.argsort(stable=True)
    members, counts = torch.unique_consecutive(nodes[order], return_counts=True)
    for node, rows in zip(members.tolist(), torch.split(order, counts.tolist()), strict=True):
        yield node, rows, points if len(rows) == len(points) else points[rows]


def _quality(
    points: torch.Tensor, tokens: torch.Tensor, squares: torch.Tensor, *, num_leaves: int
) -> Quality:
    counts = tokens.bincount()
    shares = counts[counts > 0].double() / len(tokens)
    entropy_bits = float(-(shares * shares.log2()).sum())
    error = float(squares.mean(dtype=torch.float64))
    variance = float(points.var(0, unbiased=False).sum(dtype=torch.float64))
    return Quality(
        num_clips=len(tokens),
        quantization_error=error,
        unexplained_variance=error / variance if variance > 0 else 0.0,
        num_used_leaves=len(shares),
        num_empty_leaves=num_leaves - len(shares),
        entropy_bits=entropy_bits,
        entropy_share=entropy_bits / math.log2(num_leaves),
        largest_leaf_share=float(shares.max()),
    )


def _exemplars(sample: Sample, tokens: torch.Tensor, squares: torch.Tensor) -> dict[int, list[Exemplar]]:
    """The clips of each used leaf that are nearest to its centroid, nearest first."""
    order = np.lexsort((squares.numpy(), tokens.numpy()))
    leaves, firsts, counts = np.unique(tokens.numpy()[order], return_index=True, return_counts=True)
    rows = order[np.arange(len(order)) - np.repeat(firsts, counts) < NUM_EXEMPLARS]
    found: dict[int, list[Exemplar]] = {leaf: [] for leaf in leaves.tolist()}
    columns = (tokens[rows], sample.start_seconds[rows], squares[rows].sqrt())
    for row, leaf, start, distance in zip(rows, *(column.tolist() for column in columns), strict=True):
        clip = Exemplar(video_id=sample.video_ids[row], start_seconds=start, distance=distance)
        found[leaf].append(clip)
    return found


def _content_hash(featurizer: str, centroids: Sequence[torch.Tensor]) -> str:
    digest = hashlib.blake2b(featurizer.encode(), digest_size=8)
    for level in centroids:
        digest.update(repr(tuple(level.shape)).encode())
        digest.update(level.numpy().tobytes())
    return digest.hexdigest()


def save(vocabulary: Vocabulary, root: str) -> str:
    """Write the folder `<root>/<id>` and return its URI; what is there already, and whole, stays.

    The JSON is written last: where it is, all is.
    """
    uri = f"{root.rstrip('/')}/{vocabulary.id}"
    with suppress(UserError):
        load(uri)
        return uri
    facts: dict[str, Any] = {
        "id": vocabulary.id,
        "featurizer": vocabulary.featurizer,
        "branching": vocabulary.branching,
        "depth": vocabulary.depth,
        "feature_dim": vocabulary.feature_dim,
        "config": asdict(vocabulary.config) if vocabulary.config else None,
        "quality": asdict(vocabulary.quality) if vocabulary.quality else None,
        "exemplars": {leaf: [asdict(clip) for clip in clips] for leaf, clips in vocabulary.exemplars.items()},
    }
    tensors = {f"level{index}": level.contiguous() for index, level in enumerate(vocabulary.centroids)}
    write_file(f"{uri}/{TENSORS}", save_tensors(tensors))
    write_file(f"{uri}/{FACTS}", json.dumps(facts, indent=1).encode())
    return uri


def load(uri: str) -> Vocabulary:
    """Read a folder that `save` wrote. UserError if it is not there, or is not what its id says."""
    folder = uri.rstrip("/")
    try:
        facts = json.loads(read_small_file(f"{folder}/{FACTS}"))
        tensors = load_tensors(read_small_file(f"{folder}/{TENSORS}"))
        vocabulary = Vocabulary(
            featurizer=facts["featurizer"],
            centroids=[tensors[f"level{index}"] for index in range(facts["depth"])],
            config=VocabularyConfig(**facts["config"]) if facts["config"] else None,
            quality=Quality(**facts["quality"]) if facts["quality"] else None,
            exemplars={
                int(leaf): [Exemplar(**clip) for clip in clips] for leaf, clips in facts["exemplars"].items()
            },
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{uri}: no vocabulary there; give the folder that fit_vocabulary printed") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise UserError(f"{uri}: not a whole vocabulary ({error}); fit the vocabulary again") from error
    if not is_id(vocabulary.featurizer):
        raise UserError(f"{uri}: {vocabulary.featurizer!r} is no featurizer's id; fit it again")
    if vocabulary.id != (said := facts.get("id")):
        raise UserError(f"{uri}: its content is of {vocabulary.id}, not {said}; fit the vocabulary again")
    return vocabulary
