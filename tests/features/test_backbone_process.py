"""A backbone in a process beside the driver."""

import logging
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.features.test_featurizer import random_clips
from vbert.errors import UserError
from vbert.features.backbone_process import BackboneProcess
from vbert.features.featurizer import CpuFeaturizer
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.torch_featurizer import TorchFeaturizer

pytestmark = pytest.mark.slow  # the process imports torch

CONFIG = FeaturizerConfig(frames_per_clip=1)


def children() -> list[psutil.Process]:
    running = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in running if "backbone_process" in str(child.cmdline())]


def test_its_graphs_are_the_network_and_it_is_gone_when_they_are_there():
    process = BackboneProcess(CONFIG)
    assert len(children()) == 1
    graphs = process.graphs()
    assert graphs is not None
    assert not children()
    clips = random_clips(3)
    features = CpuFeaturizer(graphs, num_threads=1).extract(clips)
    expected = TorchFeaturizer(CONFIG, device="cpu").extract(clips)
    assert np.abs(features - expected).max() <= 2e-3 * expected.max()


def test_weights_that_are_not_there_are_the_users_to_mend(tmp_path: Path):
    with pytest.raises(UserError, match=r"gone\.pth"):
        BackboneProcess(FeaturizerConfig(weights=str(tmp_path / "gone.pth")))
    (tmp_path / "wrong.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"wrong\.pth"):
        BackboneProcess(FeaturizerConfig(weights=str(tmp_path / "wrong.pth")))
    assert not children()


def test_where_openvino_is_not_there_are_no_graphs_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "openvino.py").write_text("raise ImportError('not on this machine')")
    monkeypatch.syspath_prepend(str(tmp_path))
    process = BackboneProcess(CONFIG)
    with caplog.at_level(logging.WARNING, "vbert"):
        assert process.graphs() is None
    assert "efficientnet_lite0 runs without OpenVINO, two to four times slower: not on this" in caplog.text


def test_its_death_is_said():
    process = BackboneProcess(CONFIG)
    (child,) = children()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"the backbone died of signal 9 \(SIGKILL\)"):
        process.graphs()
    process.close()
    assert not children()
