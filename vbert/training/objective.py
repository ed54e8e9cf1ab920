"""A step of the optimiser over a global batch, whatever is trained: any number of workers computes the same.

A global batch is some micro-batches, one a stream, dealt out to the workers. Its loss is a sum of parts, each
the mean over everything in the batch that the part is about (masked words, pairs, examples): the counts are
summed over all workers first.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vbert.documents.sequences import Batch, random_generator
from vbert.training.optimization import OptimizerConfig, Precision, autocast, update
from vbert.training.parallel import gradient_sync, missing_passes, rank, sum_over_workers, world_size

LOSS, CORRECT, COUNT = range(3)


@dataclass(frozen=True)
class Tally:
    """Sums over batches: for each name float64 [3] of loss, right answers and how many there were; and how
    many positions held something, of how many that were computed."""

    names: tuple[str, ...]
    cells: Tensor
    positions: Tensor

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> "Tally":
        """All zeros."""
        return cls(
            names, torch.zeros(len(names), 3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        )

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.names, self.cells + other.cells, self.positions + other.positions)

    def over_workers(self) -> "Tally":
        """Summed over all processes."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        flat = sum_over_workers(torch.cat([self.cells.flatten(), self.positions]).to(device)).cpu()
        return Tally(self.names, flat[:-2].view(-1, 3), flat[-2:])

    def means(self) -> dict[str, float]:
        """`loss/<name>` and `accuracy/<name>` of the names that have anything."""
        found: dict[str, float] = {}
        for name, (loss, correct, count) in zip(self.names, self.cells.tolist(), strict=True):
            if count:
                found[f"loss/{name}"] = loss / count
                found[f"accuracy/{name}"] = correct / count
        return found


def sums(losses: Tensor, is_right: Tensor) -> Tensor:
    """Float64 [3] on the CPU: a cell of a tally, of losses [n] and bool [n]."""
    return torch.stack(
        [losses.double().sum(), is_right.double().sum(), torch.tensor(len(losses)).to(losses)]
    ).cpu()


class Objective(ABC):
    """What a model is trained for."""

    names: tuple[str, ...]
    """Of the tally's cells."""

    @abstractmethod
    def to_device(self, batch: Batch, device: torch.device) -> dict[str, Tensor]:
        """A micro-batch as tensors on the device."""

    @abstractmethod
    def counts(self, batch: Batch) -> Tensor:
        """Float64 [num_parts]: how many there are in a micro-batch of what each part is a mean over."""

    @abstractmethod
    def outcome(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tally]:
        """The loss's parts [num_parts] as weighted sums, and what the forward pass showed."""

    @abstractmethod
    def metrics(self, tally: Tally) -> dict[str, float]:
        """What a tally of all workers says, `loss` first."""


def train_step(
    objective: Objective,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Mapping[int, Batch],
    config: OptimizerConfig,
    *,
    step: int,
    num_steps: int,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
) -> tuple[Tally, float]:
    """One optimiser step on this worker's micro-batches, which are named by their stream.

    Dropout is seeded by (seed, step, stream): a resumed run, or another number of workers, drops the same
    units. Returns this worker's tally and the gradient's length.
    """
    own = torch.stack([objective.counts(batch) for batch in batches.values()]).sum(0)
    numbers = sum_over_workers(own.to(device)).clamp(min=1)
    tally = Tally.empty(objective.names)
    for _ in range(missing_passes(model, len(batches))):
        with gradient_sync(model, enabled=False):
            parts, _ = objective.outcome(model, objective.to_device(next(iter(batches.values())), device))
            (parts.sum() * 0).backward()
    for number, (stream, batch) in enumerate(sorted(batches.items())):
        torch.manual_seed(int(random_generator(seed, step, stream).integers(2**62)))
        tensors = objective.to_device(batch, device)
        with gradient_sync(model, enabled=number == len(batches) - 1):
            with autocast(device, precision):
                parts, found = objective.outcome(model, tensors)
            # Workers' gradients are averaged, so each worker's loss counts world_size times.
            ((parts / numbers.to(parts)).sum() * world_size()).backward()
        tally = tally + found
    return tally, update(model, optimizer, config, step=step, num_steps=num_steps)


@torch.no_grad()
def evaluate_batches(
    objective: Objective,
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    device: torch.device,
    precision: Precision = "auto",
) -> Tally:
    """The tally of this worker's share of the batches, without dropout. All workers are given all of them.

    Each makes as many forward passes as the others, since FSDP exchanges weights in them.
    """
    was_training = model.training
    model.eval()
    tally = Tally.empty(objective.names)
    for first in range(0, len(batches), world_size()):
        mine = first + rank()
        tensors = objective.to_device(batches[min(mine, len(batches) - 1)], device)
        with autocast(device, precision):
            _, found = objective.outcome(model, tensors)
        if mine < len(batches):
            tally = tally + found
    model.train(was_training)
    return tally
