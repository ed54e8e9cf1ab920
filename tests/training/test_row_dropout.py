import numpy as np
import pytest
import torch
from torch import nn

from vbert.training.row_dropout import RowDropout, RowSeeds, drop_by_rows


def lowbias32(value: int) -> int:
    """The hash as it is published, in C's unsigned arithmetic."""
    with np.errstate(over="ignore"):
        x = np.uint32(value)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return int(x)


def dropout(p: float, *seeds: int, salt: int = 3) -> RowDropout:
    rows = RowSeeds()
    rows.rows = torch.tensor(seeds, dtype=torch.int32)
    return RowDropout(p, rows, salt=salt)


def test_what_is_dropped_is_told_by_the_published_hash():
    found = dropout(0.25, 77)(torch.ones(1, 2, 8))
    hashes = [lowbias32(place ^ lowbias32(77 + 3)) for place in range(8)]
    halves = [value & 0xFFFF for value in hashes] + [value >> 16 for value in hashes]
    expected = [4 / 3 if half >= 2**16 / 4 else 0.0 for half in halves]
    assert found.flatten().tolist() == pytest.approx(expected)


def test_as_many_units_are_dropped_as_was_asked_for_and_rows_and_layers_differ():
    states = torch.ones(4, 50, 41)
    found, other_layer = (dropout(0.1, 1, 2, 3, 2, salt=salt)(states) for salt in (3, 4))
    assert (found == 0).float().mean() == pytest.approx(0.1, abs=0.01)
    assert found.mean() == pytest.approx(1, abs=0.01)
    assert torch.equal(found[1], found[3]), "the same seed"
    for other in (found[0], other_layer[1]):
        both = ((found[1] == 0) & (other == 0)).float().mean()
        assert both == pytest.approx(0.01, abs=0.006), "independent"


def test_a_row_is_the_same_in_any_batch():
    states = torch.randn(3, 5, 4)
    together = dropout(0.5, 9, 8, 7)(states)
    assert torch.equal(together[1:2], dropout(0.5, 8)(states[1:2]))
    assert dropout(0.5, 8)(states[1:2].bfloat16()).dtype == torch.bfloat16


def test_a_model_takes_its_rows_seeds_and_drops_nothing_when_it_is_asked():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.3))

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return self.layers(states)

    model = Model()
    drop_by_rows(model)
    states, seeds = torch.ones(2, 64), torch.tensor([5, 6], dtype=torch.int32)
    first, again = (model(states, dropout_seeds=seeds) for _ in range(2))
    assert torch.equal(first, again)
    expected = dropout(0.3, 5, 6, salt=1)(dropout(0.5, 5, 6, salt=0)(states))
    assert torch.equal(first, expected)
    assert not torch.equal(model(states, dropout_seeds=seeds + 1), first)
    assert torch.equal(model.eval()(states), states)
