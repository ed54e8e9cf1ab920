import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.test_backbones import TORCHVISION, torchvision_network
from vbert.backbones import find_backbone
from vbert.cpu_inference import compile_network

pytestmark = pytest.mark.usefixtures("one_thread")


def random_clip(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "num_frames"), [("efficientnet_lite0", 2), ("resnet50", 1), ("s3d", 14)])
def test_a_compiled_backbone_computes_what_torch_does(
    name: str, num_frames: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    weights = None
    if name in TORCHVISION:
        weights = str(tmp_path / "weights.pth")
        torch.save(torchvision_network(name).state_dict(), weights)
    trunk = find_backbone(name, weights).load()
    with caplog.at_level(logging.WARNING):
        run = compile_network(trunk, random_clip(1, num_frames, 3, 224, 224, seed=0))
    assert run is not trunk
    assert not caplog.records
    clip = random_clip(1, num_frames, 3, 224, 224, seed=1)
    with torch.inference_mode():
        expected = trunk(clip)
    torch.testing.assert_close(run(clip), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert torch.equal(run(clip), run(clip))


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
def test_a_network_that_does_not_compile_runs_as_it_is(
    network: nn.Module, why: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "vbert"):
        assert compile_network(network, torch.ones(1, 3)) is network
    assert "runs without OpenVINO" in caplog.text
    assert why in caplog.text
