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
from vbert.features import backbone_process, torch_featurizer
from vbert.features.backbone_process import BackboneGraphs, BackboneProcess
from vbert.features.featurizer import CpuFeaturizer
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.torch_featurizer import TorchFeaturizer

pytestmark = pytest.mark.slow  # the process imports torch

CONFIG = FeaturizerConfig(frames_per_clip=1)


def children() -> list[psutil.Process]:
    running = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in running if "backbone_process" in str(child.cmdline())]


class NoProcess:
    """In place of what makes graphs: it must not be asked."""

    def __init__(self, config: FeaturizerConfig, **_: object) -> None:
        raise AssertionError("graphs were made again")


def test_its_graphs_are_the_network_and_the_second_run_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Neither on this machine, nor on another that has the same tables; nor who opens a backbone by hand."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tables = str(tmp_path / "tables")
    first = BackboneGraphs(CONFIG, tables=tables)
    assert len(children()) == 1
    graphs = first.get()
    assert graphs is not None
    assert not children()
    clips = random_clips(3)
    expected = CpuFeaturizer(graphs, num_threads=1).extract(clips)
    eager = TorchFeaturizer(CONFIG, device="cpu").extract(clips)
    assert np.abs(expected - eager).max() <= 2e-3 * eager.max()
    monkeypatch.setattr(backbone_process, "BackboneProcess", NoProcess)
    monkeypatch.setattr(torch_featurizer, "TorchFeaturizer", NoProcess)
    by_hand = torch_featurizer.open_featurizer(CONFIG, device="cpu")
    np.testing.assert_allclose(by_hand.extract(clips), expected, rtol=1e-3)
    for machine in ("cache", "another"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        again = BackboneGraphs(CONFIG, tables=tables).get()
        assert again is not None
        np.testing.assert_array_equal(CpuFeaturizer(again, num_threads=1).extract(clips), expected)
    assert len(list((tmp_path / "another").rglob("*.bin"))) == 3, "the other machine has its own now"


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
