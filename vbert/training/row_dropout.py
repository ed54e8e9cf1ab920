"""Dropout that hangs on the row and not on the batch it is in.

Torch draws a batch's dropout one number after the other: rows in another micro-batch, or on another worker,
lose other units. Here each row has a seed of its own, and what is dropped is a hash of that seed, the place
in the row and the layer, so that losses do not hang on how rows are dealt out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

SEEDS = "dropout_seeds"  # the argument of the model's forward pass: int32 [num_rows]
NUM_VALUES = 2**16  # of half a hash


class RowSeeds:
    """The seeds of the rows that a model is computing."""

    rows: Tensor


class RowDropout(nn.Dropout):
    """`nn.Dropout` of [num_rows, ...], with RowSeeds in place of torch's generator."""

    def __init__(self, p: float, seeds: RowSeeds, *, salt: int) -> None:
        super().__init__(p)
        self.seeds, self.salt = seeds, salt

    def forward(self, states: Tensor) -> Tensor:
        """The same shape; what is kept is 1 / (1 - p) times as much."""
        if not self.training or self.p == 0:
            return states
        num_places = states[0].numel()
        places = torch.arange((num_places + 1) // 2, dtype=torch.int32, device=states.device)
        bits = _mixed(places ^ _mixed(self.seeds.rows + self.salt)[:, None])
        two_places = torch.stack([bits & 0xFFFF, (bits >> 16) & 0xFFFF], dim=1).flatten(1)
        is_kept = two_places[:, :num_places] >= round(self.p * NUM_VALUES)
        return states * is_kept.view_as(states) * (1 / (1 - self.p))  # of the same dtype


def drop_by_rows(model: nn.Module) -> None:
    """Put RowDropout in the place of every `nn.Dropout` of a model, whose forward pass takes `dropout_seeds`
    from then on. Dropout of attention weights is a function's and stays torch's."""
    seeds = RowSeeds()
    names = [name for name, module in model.named_modules() if type(module) is nn.Dropout]
    for salt, name in enumerate(names):
        dropout: Any = model.get_submodule(name)
        model.set_submodule(name, RowDropout(dropout.p, seeds, salt=salt))

    def take_seeds(
        _: nn.Module, arguments: Sequence[Any], named: dict[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        if SEEDS in named:
            seeds.rows = named[SEEDS]
        return arguments, {name: value for name, value in named.items() if name != SEEDS}

    model.register_forward_pre_hook(take_seeds, with_kwargs=True)


def _mixed(bits: Tensor) -> Tensor:
    """A hash of int32 (lowbias32 by C. Wellons, "Prospecting for Hash Functions", 2018).

    Torch shifts int32 with the sign, so that the high half is cut off after shifting.
    """
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * -0x7B935975  # 0x846CA68B as a signed number
    return bits ^ ((bits >> 16) & 0xFFFF)
