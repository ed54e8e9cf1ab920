"""Featurizers that torch runs, on a GPU or eager on a CPU, and those that it makes into graphs."""

import copy
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch

from vbert.features.backbones import find_backbone
from vbert.features.cpu_export import ExportError, export_graph
from vbert.features.featurizer import NO_GRAPHS, CpuFeaturizer, Featurizer, FeaturizerGraphs, round_to_float16
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.features.kept_graphs import cache_folder, keep_graphs, read_graphs
from vbert.features.networks import load_trunk
from vbert.features.preprocess import PackedPixels, PlanarPixels
from vbert.video.color import rgb_map
from vbert.video.frame_grid import Clip, ClipSpec, Color

# As many pixels as 128 frames of 224 x 224 have need about 0.3 GB in S3D's first layer, and fill a GPU.
PIXELS_PER_CUDA_BATCH = 128 * 224 * 224

logger = logging.getLogger(__name__)


def clips_per_cuda_batch(spec: ClipSpec) -> int:
    """As many as have PIXELS_PER_CUDA_BATCH, one at least."""
    return max(1, PIXELS_PER_CUDA_BATCH // (spec.frames_per_clip * spec.size**2))


def open_featurizer(config: FeaturizerConfig, *, device: str) -> Featurizer:
    """On a CPU by graphs, with as many threads as torch has now, which are kept for the next time; where the
    network has none, and on a GPU, by torch."""
    if torch.device(device).type != "cpu":
        return TorchFeaturizer(config, device=device)
    graphs = read_graphs(config, cache_folder())
    if graphs is None:
        featurizer = TorchFeaturizer(config, device=device)
        try:
            graphs = featurizer.graphs()
        except ExportError as error:
            logger.warning(NO_GRAPHS, config.backbone, error)
            return featurizer
        keep_graphs(graphs, config, cache_folder())
    return CpuFeaturizer(graphs, num_threads=torch.get_num_threads())


class TorchFeaturizer:
    """A `Featurizer` of torch.

    On a GPU nothing is waited for until all batches are on their way: copies are from pinned memory, and the
    CPU stacks a batch, or gets the next clips, while the device works on the one before. `compiled` has torch
    fuse what lies between matrix products, which is most of these networks' time on a GPU, and makes all
    batches as large as the largest, so that it compiles once.
    """

    packages: tuple[str, ...] = ("torch",)

    def __init__(self, config: FeaturizerConfig, *, device: str, compiled: bool = False) -> None:
        self._device = torch.device(device)
        self._is_cuda = self._device.type == "cuda"
        self.device = torch.cuda.get_device_name(self._device) if self._is_cuda else "cpu"
        self._backbone = config.backbone
        backbone = find_backbone(config.backbone, config.weights)
        wants = backbone.input()
        normalization = {"mean": wants.mean, "std": wants.std}
        self._planar_pixels = PlanarPixels(size=wants.size, **normalization).to(self._device)
        self._packed_pixels = PackedPixels(**normalization).to(self._device)
        self._trunk = load_trunk(backbone).to(self._device)
        # In float16 throughout: autocast would cast the weights for each batch, which takes 4 to 7 %.
        self.trunk = copy.deepcopy(self._trunk).half() if self._is_cuda else self._trunk
        self.spec = clip_spec(config)
        self.feature_dim = self._trunk.feature_dim
        # On a CPU one clip, since more would be out of cache.
        self.batch_size = clips_per_cuda_batch(self.spec) if self._is_cuda else 1
        self._compiled = compiled
        if compiled:
            self.device += ", compiled"
            for module in (self._planar_pixels, self._packed_pixels, self.trunk):
                module.compile()

    def extract(self, clips: Sequence[Clip]) -> np.ndarray:
        """As `Featurizer.extract`."""
        return self.start(clips)()

    @torch.inference_mode()
    def start(self, clips: Sequence[Clip]) -> Callable[[], np.ndarray]:
        """As `Featurizer.start`. The clips are held until then."""
        batches = [clips[at : at + self.batch_size] for at in range(0, len(clips), self.batch_size)]
        return partial(self._finish, batches, [self._features_of_batch(batch) for batch in batches])

    def _features_of_batch(self, clips: Sequence[Clip]) -> torch.Tensor:
        missing = self.batch_size - len(clips) if self._compiled else 0
        filled_up = [*clips, *[clips[-1]] * missing]
        return self._features(filled_up, in_float16=self._is_cuda)[: len(clips)]

    @torch.inference_mode()
    def _finish(self, batches: Sequence[Sequence[Clip]], features: Sequence[torch.Tensor]) -> np.ndarray:
        if self._is_cuda:
            # float16 has three bits more than bfloat16, but ends at 65504: what overflows is done again
            # without.
            features = [
                found if torch.isfinite(found).all() else self._features(batch, in_float16=False)
                for found, batch in zip(features, batches, strict=True)
            ]
        vectors = torch.cat([torch.empty(0, self.feature_dim), *(found.float().cpu() for found in features)])
        return round_to_float16(vectors.numpy(), backbone=self._backbone)

    def graphs(self) -> FeaturizerGraphs:
        """What a CPU needs to extract the same without torch; from a featurizer on a CPU.

        Raises ExportError where it cannot be made.
        """
        weights, bias = map(torch.from_numpy, rgb_map(Color(matrix="bt709", full_range=False)))
        random = torch.Generator().manual_seed(0)
        size, num_frames = self.spec.size, self.spec.frames_per_clip
        planar, packed = (
            torch.randint(0, 256, (1, num_frames, *frame), dtype=torch.uint8, generator=random)
            for frame in [(self.spec.yuv_bytes,), (size, size, 3)]
        )
        return FeaturizerGraphs(
            backbone=self._backbone,
            spec=self.spec,
            feature_dim=self.feature_dim,
            planar_pixels=export_graph(self._planar_pixels, planar, weights[None], bias[None]),
            packed_pixels=export_graph(self._packed_pixels, packed),
            trunk=export_graph(self._trunk, self._packed_pixels(packed)),
        )

    def _features(self, clips: Sequence[Clip], *, in_float16: bool) -> torch.Tensor:
        pixels = self.pixels(clips)
        return cast(torch.Tensor, self.trunk(pixels.half()) if in_float16 else self._trunk(pixels))

    def pixels(self, clips: Sequence[Clip]) -> torch.Tensor:
        """What the trunk takes, on its device: float32 [num_clips, frames_per_clip, 3, size, size]."""
        is_rgb = [clip.color.matrix == "rgb" for clip in clips]
        if any(is_rgb) and not all(is_rgb):  # a stream that changes its format within a segment
            return torch.cat([self.pixels([clip]) for clip in clips])
        frames = self._on_device([clip.frames for clip in clips])
        if is_rgb[0]:
            return cast(torch.Tensor, self._packed_pixels(frames))
        maps = zip(*(rgb_map(clip.color) for clip in clips), strict=True)
        return cast(torch.Tensor, self._planar_pixels(frames, *map(self._on_device, maps)))

    def _on_device(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        """Stacked, on the device or on the way there."""
        dtype = torch.from_numpy(arrays[0]).dtype
        stacked = torch.empty((len(arrays), *arrays[0].shape), dtype=dtype, pin_memory=self._is_cuda)
        np.stack(arrays, out=stacked.numpy())
        return stacked.to(self._device, non_blocking=True)
