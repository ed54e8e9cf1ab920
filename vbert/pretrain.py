"""The pretraining objective: one optimiser step over a global batch, and what is measured on the way.

A global batch is one micro-batch from each lane (see lanes.py). Its loss is the mean over everything that is
masked in it, plus the mean over its alignment pairs: the counts are summed over all workers first, so that
any number of workers computes the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vbert.continuous import spread_vectors
from vbert.lanes import MicroBatch
from vbert.modeling_videobert import VideoBertForPreTrainingOutput
from vbert.parallel import gradient_sync, missing_passes, rank, sum_over_workers, unwrapped, world_size
from vbert.sequences import IGNORED, Regime, random_generator
from vbert.training import OptimizerConfig, Precision, autocast, update

# The cells of a Tally: what is predicted, in which regime.
CELLS = ("text/words", "video/clips", "joint/words", "joint/clips", "alignment", "features")
LOSS, CORRECT, COUNT = range(3)


@dataclass(frozen=True)
class Tally:
    """Sums over a batch: float64 [len(CELLS), 3] of loss, correct answers and how many there were; and how
    many positions held something, of how many that were computed."""

    cells: Tensor
    positions: Tensor

    @classmethod
    def empty(cls) -> "Tally":
        """All zeros."""
        return cls(torch.zeros(len(CELLS), 3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.cells + other.cells, self.positions + other.positions)

    def over_workers(self) -> "Tally":
        """Summed over all processes."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        flat = sum_over_workers(torch.cat([self.cells.flatten(), self.positions]).to(device)).cpu()
        return Tally(flat[:-2].view(-1, 3), flat[-2:])

    def means(self) -> dict[str, float]:
        """`loss/joint/words`, `accuracy/joint/words` and so on, of the cells that have anything; `loss` is
        the objective's own: the mean over what was masked, and the mean over the pairs."""
        found: dict[str, float] = {}
        for name, (loss, correct, count) in zip(CELLS, self.cells.tolist(), strict=True):
            if count:
                found[f"loss/{name}"] = loss / count
                found[f"accuracy/{name}"] = correct / count
        masked, pairs, clips = self.cells[:4].sum(0), self.cells[4], self.cells[5]
        parts = [float(part[LOSS] / part[COUNT]) for part in (masked, pairs, clips) if part[COUNT]]
        return {"loss": sum(parts)} | found


def to_device(batch: MicroBatch, device: torch.device) -> dict[str, Tensor]:
    """Its arrays on the device, integers as int64; clips' vectors, if it has any, at their positions."""
    tensors = {name: torch.tensor(values) for name, values in batch.items()}
    if device.type == "cuda":
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    there = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
    return spread_vectors(
        {name: tensor if tensor.is_floating_point() else tensor.long() for name, tensor in there.items()}
    )


def counts(batches: Sequence[MicroBatch]) -> Tensor:
    """Float64 [3]: how many positions are masked, how many pairs there are, how many vectors are masked."""
    masked = sum(int((batch["labels"] != IGNORED).sum()) for batch in batches)
    pairs = sum(int((batch["alignment_labels"] != IGNORED).sum()) for batch in batches)
    vectors = sum(int((batch["wanted_clips"] >= 0).sum()) for batch in batches if "wanted_clips" in batch)
    return torch.tensor([masked, pairs, vectors], dtype=torch.float64)


def forward(model: nn.Module, batch: Mapping[str, Tensor]) -> VideoBertForPreTrainingOutput:
    """The model's output for a batch of `to_device`."""
    output: VideoBertForPreTrainingOutput = model(
        **{name: values for name, values in batch.items() if name != "regimes"}
    )
    return output


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Mapping[int, MicroBatch],
    config: OptimizerConfig,
    *,
    step: int,
    num_steps: int,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
) -> tuple[Tally, float]:
    """One optimiser step on this worker's micro-batches, which are named by their lane.

    Dropout is seeded by (seed, step, lane): a resumed run, or another number of workers, drops the same
    units. Returns this worker's tally and the gradient's length.
    """
    numbers = sum_over_workers(counts(list(batches.values())).to(device)).clamp(min=1).tolist()
    weight = unwrapped(model).config.alignment_loss_weight
    tally = Tally.empty()
    for _ in range(missing_passes(model, len(batches))):
        with gradient_sync(model, enabled=False):
            output = forward(model, to_device(next(iter(batches.values())), device))
            assert output.loss is not None
            (output.loss * 0).backward()
    for number, (lane, batch) in enumerate(sorted(batches.items())):
        torch.manual_seed(int(random_generator(seed, step, lane).integers(2**62)))
        tensors = to_device(batch, device)
        with gradient_sync(model, enabled=number == len(batches) - 1):
            with autocast(device, precision):
                output = forward(model, tensors)
            # Workers' gradients are averaged, so each worker's loss counts world_size times.
            (loss_of(output, *numbers, alignment_weight=weight) * world_size()).backward()
        tally = tally + tally_of(output, tensors)
    return tally, update(model, optimizer, config, step=step, num_steps=num_steps)


def loss_of(
    output: VideoBertForPreTrainingOutput,
    masked: float,
    pairs: float,
    vectors: float,
    *,
    alignment_weight: float,
) -> Tensor:
    """A micro-batch's part of the global batch's loss; the numbers are those of the global batch."""
    assert output.prediction_losses is not None
    assert output.alignment_losses is not None
    loss = output.prediction_losses.sum() / masked
    loss = loss + alignment_weight * output.alignment_losses.sum() / pairs
    if output.feature_losses is not None:
        loss = loss + output.feature_losses.sum() / vectors
    return loss


@torch.no_grad()
def evaluate_batches(
    model: nn.Module, batches: Sequence[MicroBatch], *, device: torch.device, precision: Precision = "auto"
) -> Tally:
    """The tally of this worker's share of the batches, without dropout. All workers are given all of them.

    Each makes as many forward passes as the others, since FSDP exchanges weights in them.
    """
    was_training = model.training
    model.eval()
    tally = Tally.empty()
    for first in range(0, len(batches), world_size()):
        mine = first + rank()
        tensors = to_device(batches[min(mine, len(batches) - 1)], device)
        with autocast(device, precision):
            found = tally_of(forward(model, tensors), tensors)
        if mine < len(batches):
            tally = tally + found
    model.train(was_training)
    return tally


@torch.no_grad()
def tally_of(output: VideoBertForPreTrainingOutput, batch: Mapping[str, Tensor]) -> Tally:
    """Losses and right answers by cell."""
    cells = torch.zeros(len(CELLS), 3, dtype=torch.float64)
    is_masked = batch["labels"] != IGNORED
    labels, regimes = batch["labels"][is_masked], batch["regimes"][is_masked]
    is_clip = batch["token_type_ids"][is_masked] == 1
    assert output.prediction_logits is not None
    assert output.prediction_losses is not None
    is_right = output.prediction_logits.argmax(-1) == labels
    places: dict[int, Any] = {
        0: regimes == Regime.TEXT,
        1: regimes == Regime.VIDEO,
        2: (regimes == Regime.JOINT) & ~is_clip,
        3: (regimes == Regime.JOINT) & is_clip,
    }
    for cell, here in places.items():
        cells[cell] = _sums(output.prediction_losses[here], is_right[here])
    if output.alignment_logits is not None and output.alignment_losses is not None:
        wanted = batch["alignment_labels"][batch["alignment_labels"] != IGNORED]
        cells[4] = _sums(output.alignment_losses, output.alignment_logits.argmax(-1) == wanted)
    if output.feature_logits is not None and output.feature_losses is not None:
        own = torch.arange(len(output.feature_logits), device=output.feature_logits.device)
        cells[5] = _sums(output.feature_losses, output.feature_logits.argmax(-1) == own)
    useful = (batch["sequence_ids"] > 0).sum()
    return Tally(cells, torch.tensor([int(useful), batch["input_ids"].numel()], dtype=torch.float64))


def _sums(losses: Tensor, is_right: Tensor) -> Tensor:
    return torch.stack(
        [losses.double().sum(), is_right.double().sum(), torch.tensor(len(losses)).to(losses)]
    ).cpu()
