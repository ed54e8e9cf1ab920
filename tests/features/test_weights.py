import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from vbert.errors import UserError
from vbert.features.weight_files import file_identity
from vbert.features.weights import fill, fold_batch_norms, read_state_dict

pytestmark = pytest.mark.usefixtures("one_thread")


def small_network() -> nn.Module:
    torch.manual_seed(4)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 1)
    )
    for norm in (network[1], network[3]):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.uniform_(norm.weight, 0.5, 2.0)
    return network.eval()


def test_pth_and_safetensors_hold_the_same_weights(tmp_path: Path):
    state = small_network().state_dict()
    torch.save(state, tmp_path / "weights.pth")
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    for name in ("weights.pth", "weights.safetensors"):
        read = read_state_dict(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], state[key]) for key in state)


def test_weights_fill_every_tensor_and_a_head_may_be_over():
    state = small_network().state_dict()
    network = nn.Sequential(*(type_ for type_ in small_network()[:4]))
    nn.init.zeros_(network[0].weight)
    fill(network, state | {"head.weight": torch.ones(2)}, source="file", unused=("4", "head"))
    assert torch.equal(network[0].weight, state["0.weight"])


def test_weights_that_do_not_fit_are_refused_by_their_first_keys():
    state = small_network().state_dict()
    for key in ("1.weight", "1.bias", "1.running_mean", "3.weight"):
        del state[key]
    state |= {"stem": torch.zeros(3), "0.bias": torch.zeros(6)}
    expected = (
        "weights x.pth do not fit the backbone: the file lacks 1.bias, 1.running_mean, 1.weight and 1 more"
        " and has the unknown stem and has in another shape 0.bias"
    )
    with pytest.raises(UserError, match=re.escape(expected)):
        fill(small_network(), state, source="x.pth", unused=())


class Harmful:
    """What an unsafe load would run."""

    def __reduce__(self) -> tuple[type[Path], tuple[str]]:
        return Path, ("harm",)


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors", "empty.pth", "code.pth", "checkpoint.pth"])
def test_a_file_that_is_no_state_dict_is_refused_and_its_code_not_run(name: str, tmp_path: Path):
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "empty.pth").touch()
    torch.save({"a": Harmful()}, tmp_path / "code.pth")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "checkpoint.pth")
    with pytest.raises(UserError, match=rf"weights .*{name}: not a state dict") as error:
        read_state_dict(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named_with_the_option_that_mends_it(tmp_path: Path):
    for use in (read_state_dict, file_identity):
        with pytest.raises(UserError, match=r"weights .*none\.pth: no such file; give --featurizer\.weights"):
            use(tmp_path / "none.pth")


def test_weights_are_known_by_content_wherever_they_lie(tmp_path: Path):
    for name, content in (("a.pth", b"one"), ("b.pth", b"one"), ("c.pth", b"two")):
        (tmp_path / name).write_bytes(content)
    assert (
        file_identity(tmp_path / "a.pth") == file_identity(tmp_path / "b.pth") == "7692c3ad"
    )  # sha256 of "one"
    assert file_identity(tmp_path / "c.pth") != "7692c3ad"
    (tmp_path / "a.pth").write_bytes(b"three")
    assert file_identity(tmp_path / "a.pth") != "7692c3ad"


def test_folding_a_batch_norm_changes_nothing_but_the_work():
    network = small_network()
    pictures = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = network(pictures)
        fold_batch_norms(network, torch.zeros(1, 3, 5, 5))
        torch.testing.assert_close(network(pictures), before)
    # The second norm follows no convolution: it stays.
    assert [type(module) for module in network] == [
        nn.Conv2d,
        nn.Identity,
        nn.ReLU,
        nn.BatchNorm2d,
        nn.Conv2d,
    ]
    linear = nn.Linear(3, 2)
    fold_batch_norms(linear, torch.zeros(1, 7))  # nothing to fold, so not even run
