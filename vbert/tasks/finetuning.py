"""What fine-tuning is about, whatever the task."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vbert.documents.sequences import Batch
from vbert.tasks.base import Task, to_tensors
from vbert.training.objective import Objective, Tally, sums


class Finetuning(Objective):
    """The mean over all that a model is to say: `loss`, and `accuracy`, the share that it says right."""

    names = ("examples",)

    def __init__(self, task: Task) -> None:
        self.task = task

    def tensors(self, batch: Batch) -> dict[str, Tensor]:
        """See to_tensors."""
        return to_tensors(batch, torch.device("cpu"))

    def counts(self, batch: Batch) -> Tensor:
        """One part, the task's."""
        return torch.tensor([self.task.num_targets(batch)], dtype=torch.float64)

    def positions(self, batch: Batch) -> Tensor:
        """Padding has a sequence's number below 0, or no attention."""
        used = batch["sequence_ids"] >= 0 if "sequence_ids" in batch else batch["attention_mask"] > 0
        return torch.tensor([used.sum(), used.size], dtype=torch.float64)

    def outcome(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The sum of the model's losses, and a tally of them."""
        output = model(**inputs)
        return output.losses.sum()[None], sums(output.losses, output.is_right)[None]

    def metrics(self, tally: Tally) -> dict[str, float]:
        """`loss` and `accuracy`."""
        means = tally.means()
        return {name: means.get(f"{name}/examples", 0.0) for name in ("loss", "accuracy")}
