import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.features.test_backbones import TORCHVISION, torchvision_network
from vbert.features.backbones import find_backbone
from vbert.features.cpu_export import ExportError, export_graph
from vbert.features.cpu_inference import compile_graph
from vbert.features.networks import load_trunk

pytestmark = pytest.mark.usefixtures("one_thread")


def random_clip(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.seconds(10)
@pytest.mark.parametrize(("name", "num_frames"), [("efficientnet_lite0", 2), ("resnet50", 1), ("s3d", 14)])
def test_a_graph_of_a_backbone_computes_what_torch_does(name: str, num_frames: int, tmp_path: Path):
    weights = None
    if name in TORCHVISION:
        weights = str(tmp_path / "weights.pth")
        torch.save(torchvision_network(name).state_dict(), weights)
    trunk = load_trunk(find_backbone(name, weights))
    graph = export_graph(trunk, random_clip(1, num_frames, 3, 224, 224, seed=0))
    run = compile_graph(pickle.loads(pickle.dumps(graph)), num_threads=1)
    clip = random_clip(1, num_frames, 3, 224, 224, seed=1)
    with torch.inference_mode():
        expected = trunk(clip).numpy()
    np.testing.assert_allclose(run(clip.numpy()), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert (run(clip.numpy()) == run(clip.numpy())).all()


class Branches(nn.Module):
    """What it computes hangs on the values, which no export can follow."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips * 2 if clips.sum() > 0 else clips * 3


class Wrong(nn.Module):
    """Another result each time, as a compiler that gets a network wrong would give."""

    calls = 0

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return clips * self.calls


@pytest.mark.parametrize(
    ("network", "why"), [(Branches(), "data-dependent"), (Wrong(), "its outputs would be off by 1")]
)
def test_a_network_without_a_true_graph_is_refused(network: nn.Module, why: str):
    with pytest.raises(ExportError, match=why):
        export_graph(network, torch.ones(1, 3))
