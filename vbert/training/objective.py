"""A step of the optimiser over a global batch, whatever is trained: any number of workers computes the same.

A global batch is some micro-batches, dealt out to the workers. Its loss is a sum of parts, each the mean over
everything in the batch that the part is about (masked words, pairs, examples): the counts are summed over all
workers first.

A step never waits for the device: what has to be known of a batch is counted in its arrays, and what the
device finds out stays there until somebody reads it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vbert.documents.sequences import Batch, random_generator
from vbert.training.device_copies import to_device
from vbert.training.optimization import OptimizerConfig, Precision, autocast, update
from vbert.training.parallel import gradient_sync, missing_passes, rank, sum_over_workers, world_size

LOSS, CORRECT, COUNT = range(3)


@dataclass(frozen=True)
class Tally:
    """Sums over batches: for each name float64 [3] of loss, right answers and how many there were, on the
    device; and how many positions held something, of how many that were computed."""

    names: tuple[str, ...]
    cells: Tensor
    positions: Tensor

    @classmethod
    def empty(cls, names: tuple[str, ...], device: torch.device | None = None) -> "Tally":
        """All zeros."""
        cells = torch.zeros(len(names), 3, dtype=torch.float64, device=device)
        return cls(names, cells, torch.zeros(2, dtype=torch.float64))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.names, self.cells + other.cells, self.positions + other.positions)

    def over_workers(self) -> "Tally":
        """Summed over all processes, and on the CPU: the device is waited for."""
        everything = torch.cat([self.cells.flatten(), self.positions.to(self.cells.device)])
        flat = sum_over_workers(everything).cpu()
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
    """Float64 [3]: a cell of a tally, of losses [n] and bool [n]."""
    found = losses.detach().double()
    return torch.stack([found.sum(), is_right.double().sum(), found.new_full((), len(found))])


class Objective(ABC):
    """What a model is trained for."""

    names: tuple[str, ...]
    """Of the tally's cells."""

    @abstractmethod
    def tensors(self, batch: Batch) -> dict[str, Tensor]:
        """A micro-batch as `outcome` takes it, still on the CPU."""

    @abstractmethod
    def counts(self, batch: Batch) -> Tensor:
        """Float64 [num_parts]: how many there are in a micro-batch of what each part is a mean over."""

    @abstractmethod
    def positions(self, batch: Batch) -> Tensor:
        """Float64 [2]: how many positions of a micro-batch hold something, of how many."""

    @abstractmethod
    def outcome(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss's parts [num_parts] as weighted sums, and a tally's cells of what was seen on the way."""

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
    num_passes: int = 1,
) -> tuple[Tally, Tensor]:
    """One optimiser step on this worker's micro-batches, which are numbered.

    Torch's own dropout is seeded by (seed, step, number): a resumed run drops the same units. `num_passes` is
    the most micro-batches that any worker has. Returns this worker's tally and the gradient's length [], both
    still on the device.
    """
    inputs = {
        number: to_device(objective.tensors(batch), device) for number, batch in sorted(batches.items())
    }
    counts = {"counts": torch.stack([objective.counts(batch) for batch in batches.values()]).sum(0)}
    numbers = sum_over_workers(to_device(counts, device)["counts"]).clamp(min=1)
    for _ in range(missing_passes(model, have=len(batches), wanted=num_passes)):
        with gradient_sync(model, enabled=False), autocast(device, precision):
            parts, _ = objective.outcome(model, next(iter(inputs.values())))
            (parts.sum() * 0).backward()
    tally = Tally.empty(objective.names, device)
    for number, batch in sorted(batches.items()):
        torch.manual_seed(int(random_generator(seed, step, number).integers(2**62)))
        with gradient_sync(model, enabled=number == max(batches)):
            with autocast(device, precision):
                parts, cells = objective.outcome(model, inputs[number])
            # Workers' gradients are averaged, so each worker's loss counts world_size times.
            ((parts / numbers.to(parts)).sum() * world_size()).backward()
        tally = tally + Tally(objective.names, cells, objective.positions(batch))
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
    tally = Tally.empty(objective.names, device)
    for first in range(0, len(batches), world_size()):
        mine = first + rank()
        batch = batches[min(mine, len(batches) - 1)]
        with autocast(device, precision):
            _, cells = objective.outcome(model, to_device(objective.tensors(batch), device))
        if mine < len(batches):
            tally = tally + Tally(objective.names, cells, objective.positions(batch))
    model.train(was_training)
    return tally
