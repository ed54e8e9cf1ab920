import copy

import pytest
import torch
from torch import nn

from vbert.errors import UserError
from vbert.training.optimization import (
    OptimizerConfig,
    autocast,
    learning_rate_at,
    make_optimizer,
    peak_flops,
    training_flops,
    update,
)


def test_the_rate_rises_and_falls_in_straight_lines():
    config = OptimizerConfig(learning_rate=1.0, warmup_share=0.2)
    rates = [learning_rate_at(step, config, num_steps=10) for step in range(10)]
    # Up in 2 steps, then down over 8.
    assert rates == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert learning_rate_at(10, config, num_steps=10) == 0


def test_matrices_decay_and_vectors_do_not():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    model[1].weight.requires_grad_(requires_grad=False)
    decayed, others = make_optimizer(model, OptimizerConfig(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(5, 4)]
    assert [tuple(p.shape) for p in others["params"]] == [(4,), (4,), (4,)]


def test_an_update_is_adamw_on_clipped_gradients():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    theirs.load_state_dict(ours.state_dict())
    config = OptimizerConfig(learning_rate=0.1, warmup_share=0.5, weight_decay=0.01, max_gradient_norm=0.5)
    optimizer = make_optimizer(ours, config)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.1, betas=(0.9, 0.98), weight_decay=0.01)
    gradient = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])  # of length 5
    for step in range(3):
        ours.weight.grad = gradient.clone()
        assert float(update(ours, optimizer, config, step=step, num_steps=4)) == pytest.approx(5.0)
        assert ours.weight.grad is None
        theirs.weight.grad = gradient / 10
        reference.param_groups[0]["lr"] = [0.05, 0.1, 0.1][step]
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_a_head_learns_at_a_rate_of_its_own():
    torch.manual_seed(0)
    ours, theirs = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    config = OptimizerConfig(learning_rate=0.01, warmup_share=0.0, weight_decay=0.1, max_gradient_norm=1e9)
    optimizer = make_optimizer(ours, config, head=ours[1].parameters(), head_rate=20)
    for layer, rate in ((theirs[0], 0.01), (theirs[1], 0.2)):
        for parameter in layer.parameters():
            decay = 0.1 if parameter.dim() == 2 else 0.0
            reference = torch.optim.AdamW([parameter], lr=rate, betas=(0.9, 0.98), weight_decay=decay)
            parameter.grad = torch.ones_like(parameter)
            reference.step()
    for parameter in ours.parameters():
        parameter.grad = torch.ones_like(parameter)
    update(ours, optimizer, config, step=0, num_steps=4)
    for found, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float):
    layer = nn.Linear(3, 2)
    optimizer = make_optimizer(layer, OptimizerConfig())
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    update(layer, optimizer, OptimizerConfig(), step=0, num_steps=4)
    before = copy.deepcopy((layer.state_dict(), optimizer.state_dict()["state"]))
    layer.weight.grad, layer.bias.grad = torch.tensor([[1.0, bad, 0.0]] * 2), torch.ones(2)
    assert not update(layer, optimizer, OptimizerConfig(), step=1, num_steps=4).isfinite()
    assert layer.weight.grad is None, "forgotten"
    torch.testing.assert_close((layer.state_dict(), optimizer.state_dict()["state"]), before, rtol=0, atol=0)


def test_precision_is_what_was_asked_for():
    product = torch.randn(4, 4)
    for precision, dtype in (("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(torch.device("cpu"), precision):  # type: ignore[arg-type]
            assert (product @ product).dtype == dtype


def test_operations_add_up_by_hand():
    # 6 x 10 weights + 12 x 2 layers x 4 hidden x 8 positions = 828 a position; head 6 x 4 x (4 + 16) = 480.
    flops = training_flops(
        encoder_size=10, num_layers=2, hidden_size=4, vocabulary_size=16, num_positions=3, row_length=8,
        num_masked=2,
    )  # fmt: skip
    assert flops == 3 * 828 + 2 * 480


def test_this_machines_peak_is_plausible():
    assert 1e9 < peak_flops(torch.device("cpu"), "fp32") < 1e14


@pytest.mark.parametrize(
    "options", [{"learning_rate": 0.0}, {"warmup_share": 1.0}, {"max_gradient_norm": 0.0}]
)
def test_senseless_options_are_refused(options: dict[str, float]):
    with pytest.raises(UserError, match=next(iter(options)).split("_")[0]):
        OptimizerConfig(**options)
