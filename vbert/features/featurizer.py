"""Clips -> feature vectors, by a frozen backbone; here on a CPU, by graphs and without torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vbert.errors import UserError
from vbert.features.cpu_inference import Graph, compile_graph
from vbert.video.color import rgb_map
from vbert.video.frame_grid import Clip, ClipSpec

# What a log says of a backbone that has no graphs, with its name and why.
NO_GRAPHS = "%s runs without OpenVINO, two to four times slower: %s"


class Featurizer(Protocol):
    """A backbone ready to extract.

    The same clips in the same order give the same bits, whatever was extracted before: on a CPU a batch is
    one clip, on a GPU batches are cut from the start of the list. Another number of threads takes sums in
    another order, and so may another device: workers must fix the number of threads.
    """

    spec: ClipSpec
    feature_dim: int
    device: str
    """What computes, in a word or two."""
    packages: tuple[str, ...]
    """Whose versions may change the last bits."""

    def extract(self, clips: Sequence[Clip]) -> np.ndarray:
        """Float32 [num_clips, feature_dim], each value rounded to one that float16 has.

        UserError for a backbone whose features float16 cannot hold.
        """
        ...

    def start(self, clips: Sequence[Clip]) -> Callable[[], np.ndarray]:
        """What gives what `extract` gives, once it is called; a GPU computes meanwhile."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeaturizerGraphs:
    """A featurizer on its way to the CPUs that run it: what `TorchFeaturizer.graphs` makes."""

    backbone: str
    spec: ClipSpec
    feature_dim: int
    planar_pixels: Graph
    """`preprocess.PlanarPixels` of one clip."""
    packed_pixels: Graph
    """`preprocess.PackedPixels` of one clip."""
    trunk: Graph
    """From pixels to the feature of one clip."""


class CpuFeaturizer:
    """A `Featurizer` of graphs. EfficientNet-Lite0 took 15 ms a frame in threes and 30 ms in 24s, out of
    cache: one clip at a time."""

    device = "cpu"
    packages: tuple[str, ...] = ("openvino",)

    def __init__(self, graphs: FeaturizerGraphs, *, num_threads: int) -> None:
        self.spec = graphs.spec
        self.feature_dim = graphs.feature_dim
        self._backbone = graphs.backbone
        self._planar_pixels, self._packed_pixels, self._trunk = (
            compile_graph(graph, num_threads=num_threads)
            for graph in (graphs.planar_pixels, graphs.packed_pixels, graphs.trunk)
        )

    def extract(self, clips: Sequence[Clip]) -> np.ndarray:
        """As `Featurizer.extract`."""
        features = np.empty((len(clips), self.feature_dim), np.float32)
        for row, clip in zip(features, clips, strict=True):
            row[:] = self._trunk(self._pixels(clip))[0]
        return round_to_float16(features, backbone=self._backbone)

    def start(self, clips: Sequence[Clip]) -> Callable[[], np.ndarray]:
        """As `Featurizer.start`; all is computed before it returns."""
        features = self.extract(clips)
        return lambda: features

    def _pixels(self, clip: Clip) -> np.ndarray:
        if clip.color.matrix == "rgb":
            return self._packed_pixels(clip.frames[None])
        weights, bias = rgb_map(clip.color)
        return self._planar_pixels(clip.frames[None], weights[None], bias[None])


def round_to_float16(features: np.ndarray, *, backbone: str) -> np.ndarray:
    """Float32 with values that float16 has; UserError if one is not finite there."""
    with np.errstate(over="ignore"):
        rounded = features.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise UserError(f"features of {backbone} do not fit float16 (65504); choose another backbone")
    return rounded
