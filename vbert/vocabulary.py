"""The visual vocabulary: hierarchical k-means over features, whose leaves are the visual tokens.

VideoBERT (Sun et al. 2019, section 4.2) clusters S3D features with branching 12 and depth 4 into
12^4 = 20,736 visual words. A token costs branching * depth = 48 distances then, not 20,736.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from vbert.errors import UserError
from vbert.kmeans import blocks, kmeans, nearest, squared_distances

TENSORS, FACTS = "vocabulary.safetensors", "vocabulary.json"
NUM_EXEMPLARS = 3


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
        if self.branching**self.depth > 2**31:
            raise UserError(
                f"branching {self.branching} ** depth {self.depth} leaves do not fit int32 tokens"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Clips to fit on: `features` float32 [N, D], and where each clip comes from."""

    features: np.ndarray
    video_ids: Sequence[str]
    start_seconds: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How well a vocabulary describes the sample that it was fitted on."""

    num_clips: int
    quantization_error: float
    """Mean squared distance of a clip to its leaf's centroid."""
    unexplained_variance: float
    """The same over the clips' total variance: 0 perfect, 1 no better than one token."""
    num_used_leaves: int
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
    below the missing ones are never assigned.
    """

    def __init__(
        self,
        *,
        featurizer: str,
        centroids: Sequence[torch.Tensor],
        quality: Quality | None = None,
        exemplars: dict[int, list[Exemplar]] | None = None,
    ) -> None:
        # Level l is [branching ** l, branching, D]; a missing child is NaN.
        self.featurizer = featurizer
        self.centroids = list(centroids)
        self.quality = quality
        self.exemplars = exemplars or {}
        self.depth = len(self.centroids)
        self.branching, self.feature_dim = self.centroids[0].shape[1:]
        self.num_leaves = self.branching**self.depth
        self.id = _content_hash(featurizer, self.centroids)
        self._present = [~level.isnan().any(-1) for level in self.centroids]

    def assign(self, features: np.ndarray) -> np.ndarray:
        """Visual tokens, int32 [N], of features float32 [N, D]: nearest child, level by level.

        A clip's token does not hang on the clips beside it.
        """
        if len(features) == 0:
            return np.zeros(0, np.int32)
        if features.shape[1:] != (self.feature_dim,):
            raise UserError(
                f"vocabulary {self.id} wants {self.feature_dim} dimensions, got {features.shape[1]}"
            )
        parts = (torch.from_numpy(features[rows].astype(np.float32)) for rows in blocks(len(features)))
        tokens: np.ndarray = torch.cat([self._descend(points) for points in parts]).numpy()
        return tokens.astype(np.int32)

    def leaf_centroids(self, leaves: torch.Tensor) -> torch.Tensor:
        """[N] leaf ids -> float32 [N, D]."""
        return self.centroids[-1].flatten(0, 1)[leaves]

    def _descend(self, points: torch.Tensor) -> torch.Tensor:
        nodes = torch.zeros(len(points), dtype=torch.int64)
        for centroids, present in zip(self.centroids, self._present, strict=True):
            children = torch.empty_like(nodes)
            for node, rows in _by_node(nodes):
                alive = present[node].nonzero().flatten()
                children[rows] = alive[nearest(points[rows], centroids[node, alive])]
            nodes = nodes * self.branching + children
        return nodes


def fit_vocabulary(
    sample: Sample, *, config: VocabularyConfig, featurizer: str, device: str = "cpu"
) -> Vocabulary:
    """Cluster the sample, then each cluster, `depth` times. UserError if there is nothing to cluster."""
    points = torch.from_numpy(sample.features).to(device)
    if len(points) == 0:
        raise UserError("there is no clip to fit a vocabulary on; run featurize first")
    if not bool(torch.isfinite(points).all()):
        raise UserError("features hold NaN or infinity; a vocabulary cannot be fitted on them")
    generator = torch.Generator().manual_seed(config.seed)
    nodes = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    centroids = []
    for level in range(config.depth):
        shape = (config.branching**level, config.branching, points.shape[1])
        children = torch.full(shape, torch.nan)
        for node, rows in _by_node(nodes):
            found = kmeans(
                points[rows],
                num_clusters=config.branching,
                num_iterations=config.num_iterations,
                generator=generator,
            )
            children[node, : len(found.centroids)] = found.centroids.cpu()
            nodes[rows] = node * config.branching + found.labels
        centroids.append(children)
    fitted = Vocabulary(featurizer=featurizer, centroids=centroids)
    tokens = torch.from_numpy(fitted.assign(sample.features).astype(np.int64))
    squares = _squares(points.cpu(), fitted, tokens)
    return Vocabulary(
        featurizer=featurizer,
        centroids=centroids,
        quality=_quality(points.cpu(), tokens, squares, num_leaves=fitted.num_leaves),
        exemplars=_exemplars(sample, tokens, squares),
    )


def _by_node(nodes: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Each node that has points, and their rows: one product of matrices for each node."""
    order = nodes.argsort(stable=True)
    members, counts = torch.unique_consecutive(nodes[order], return_counts=True)
    yield from zip(members.tolist(), torch.split(order, counts.tolist()), strict=True)


def _squares(points: torch.Tensor, vocabulary: Vocabulary, tokens: torch.Tensor) -> torch.Tensor:
    parts = [
        squared_distances(points[rows], vocabulary.leaf_centroids(tokens[rows]))
        for rows in blocks(len(points))
    ]
    return torch.cat(parts)


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
        entropy_bits=entropy_bits,
        entropy_share=entropy_bits / np.log2(num_leaves),
        largest_leaf_share=float(shares.max()),
    )


def _exemplars(sample: Sample, tokens: torch.Tensor, squares: torch.Tensor) -> dict[int, list[Exemplar]]:
    """The clips of each used leaf that are nearest to its centroid, nearest first."""
    order = np.lexsort((squares.numpy(), tokens.numpy()))
    leaves, firsts = np.unique(tokens.numpy()[order], return_index=True)
    ends = [*firsts[1:], len(order)]
    return {
        int(leaf): [
            Exemplar(
                video_id=str(sample.video_ids[row]),
                start_seconds=float(sample.start_seconds[row]),
                distance=float(squares[row].sqrt()),
            )
            for row in order[first : min(first + NUM_EXEMPLARS, end)]
        ]
        for leaf, first, end in zip(leaves, firsts, ends, strict=True)
    }


def _content_hash(featurizer: str, centroids: Sequence[torch.Tensor]) -> str:
    digest = hashlib.blake2b(featurizer.encode(), digest_size=8)
    for level in centroids:
        digest.update(repr(tuple(level.shape)).encode())
        digest.update(level.numpy().tobytes())
    return digest.hexdigest()


def save(vocabulary: Vocabulary, root: str) -> str:
    """Write the folder `<root>/<id>` and return its URI. The JSON comes last: where it is, all is."""
    uri = f"{root.rstrip('/')}/{vocabulary.id}"
    filesystem, path = fsspec.url_to_fs(uri)
    filesystem.makedirs(path, exist_ok=True)
    facts: dict[str, Any] = {
        "id": vocabulary.id,
        "featurizer": vocabulary.featurizer,
        "branching": vocabulary.branching,
        "depth": vocabulary.depth,
        "feature_dim": vocabulary.feature_dim,
        "quality": asdict(vocabulary.quality) if vocabulary.quality else None,
        "exemplars": {leaf: [asdict(clip) for clip in clips] for leaf, clips in vocabulary.exemplars.items()},
    }
    tensors = {f"level{index}": level.contiguous() for index, level in enumerate(vocabulary.centroids)}
    filesystem.pipe_file(f"{path}/{TENSORS}", save_tensors(tensors))
    filesystem.pipe_file(f"{path}/{FACTS}", json.dumps(facts, indent=1).encode())
    return uri


def load(uri: str) -> Vocabulary:
    """Read a folder that `save` wrote. UserError if it is not there, or is not what its id says."""
    filesystem, path = fsspec.url_to_fs(uri)
    try:
        facts = json.loads(filesystem.cat_file(f"{path}/{FACTS}"))
        tensors = load_tensors(filesystem.cat_file(f"{path}/{TENSORS}"))
    except FileNotFoundError as error:
        raise UserError(f"{uri}: no vocabulary there; give the folder that fit_vocabulary printed") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{uri}/{FACTS}: not JSON ({error}); fit the vocabulary again") from error
    vocabulary = Vocabulary(
        featurizer=facts["featurizer"],
        centroids=[tensors[f"level{index}"] for index in range(facts["depth"])],
        quality=Quality(**facts["quality"]) if facts["quality"] else None,
        exemplars={
            int(leaf): [Exemplar(**clip) for clip in clips] for leaf, clips in facts["exemplars"].items()
        },
    )
    if vocabulary.id != facts["id"]:
        raise UserError(
            f"{uri}: its content is of {vocabulary.id}, not {facts['id']}; fit the vocabulary again"
        )
    return vocabulary
