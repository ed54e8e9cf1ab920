"""The rehearsal of benchmarks/gpu.py, so that the minutes on a GPU are not spent on its mistakes."""

import json
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.gpu import main
from benchmarks.gpu_results import Results
from vbert.errors import UserError


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo's own
def test_a_rehearsal_writes_a_line_for_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # As it is traced, without Inductor's minute of C++.
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main(["--tiny", "--output", str(tmp_path / "gpu.json")])
    lines = json.loads((tmp_path / "gpu.json").read_text())
    assert not [line for line in lines if "failed" in line]
    assert [line.get("decode") for line in lines if "skipped" in line] == ["nvdec"]
    parity = [line for line in lines if "parity" in line]
    assert [line["compiled"] for line in parity] == [False, True]
    assert all(0 < line["loss_error"] < line["gradient_error"] < 0.05 for line in parity)
    training = [line for line in lines if "training" in line]
    assert [line["compiled"] for line in training] == [False, True]
    assert all(line["useful_tokens_per_second"] > 0 and 0 < line["mfu"] < 1 for line in training)
    (featurized,) = [line for line in lines if "featurize" in line]
    assert min(featurized[name] for name in ("network", "ours", "network_compiled", "ours_compiled")) > 0
    assert [line["clips_per_second"] > 0 for line in lines if "clips_per_second" in line] == [True, True]
    (fed,) = [line for line in lines if "fed" in line]
    assert 0 < fed["backbone_wait_share"] < 1


def test_a_part_that_fails_is_a_line_and_the_next_goes_on(tmp_path: Path):
    results = Results(tmp_path / "gpu.json")
    with results.part(training=1):
        raise RuntimeError("out of memory\nand a trace")
    with results.part(decode="nvdec"):
        raise UserError("no GPU here")
    with results.part(featurize="all"):
        import a_package_that_is_not_there  # type: ignore[import-not-found] # noqa: F401
    results.start_seconds -= 1000
    with results.part(training=2) as is_on:
        assert not is_on
    lines = json.loads((tmp_path / "gpu.json").read_text())
    assert lines[0]["failed"] == "RuntimeError: out of memory"
    skipped = ["no GPU here", "a_package_that_is_not_there is not installed", "too late"]
    assert [line["skipped"] for line in lines[1:]] == skipped


def test_without_a_gpu_it_says_how_to_rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--tiny rehearses on a CPU"):
        main(["--output", str(tmp_path / "gpu.json")])
