"""The pretraining objective: masked words, masked clips and alignment, and what is measured on the way."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vbert.documents.sequences import IGNORED, Batch, Regime
from vbert.model.modeling_videobert import VideoBertForPreTrainingOutput
from vbert.training.objective import COUNT, LOSS, Objective, Tally, sums
from vbert.training.parallel import unwrapped

# What is predicted, in which regime.
CELLS = ("text/words", "video/clips", "joint/words", "joint/clips", "alignment", "features")


class Pretraining(Objective):
    """The mean over everything that is masked, the mean over the alignment pairs, and of continuous features
    the mean over masked vectors."""

    names = CELLS

    def to_device(self, batch: Batch, device: torch.device) -> dict[str, Tensor]:
        """Integers as int64; clips' vectors, if it has any, at their positions."""
        tensors = {name: torch.tensor(values) for name, values in batch.items()}
        if device.type == "cuda":
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        there = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        return spread_vectors(
            {name: tensor if tensor.is_floating_point() else tensor.long() for name, tensor in there.items()}
        )

    def counts(self, batch: Batch) -> Tensor:
        """How many positions are masked, how many pairs there are, how many vectors are masked."""
        masked = int((batch["labels"] != IGNORED).sum())
        pairs = int((batch["alignment_labels"] != IGNORED).sum())
        vectors = int((batch["wanted_clips"] >= 0).sum()) if "wanted_clips" in batch else 0
        return torch.tensor([masked, pairs, vectors], dtype=torch.float64)

    def outcome(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tally]:
        """The three sums of losses, those of alignment weighted as the configuration says."""
        output: VideoBertForPreTrainingOutput = model(
            **{name: values for name, values in batch.items() if name != "regimes"}
        )
        assert output.prediction_losses is not None
        assert output.alignment_losses is not None
        masked, pairs = output.prediction_losses.sum(), output.alignment_losses.sum()
        vectors = torch.zeros_like(masked) if output.feature_losses is None else output.feature_losses.sum()
        weight = unwrapped(model).config.alignment_loss_weight
        return torch.stack([masked, weight * pairs, vectors]), tally_of(output, batch)

    def metrics(self, tally: Tally) -> dict[str, float]:
        """`loss`, the sum of the three means, and `loss/joint/words`, `accuracy/joint/words` and so on."""
        masked, pairs, clips = tally.cells[:4].sum(0), tally.cells[4], tally.cells[5]
        parts = [float(part[LOSS] / part[COUNT]) for part in (masked, pairs, clips) if part[COUNT]]
        return {"loss": sum(parts)} | tally.means()


PRETRAINING = Pretraining()


def spread_vectors(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the model's device: the batch with `visual_features` and `feature_labels` float [B, L, F]."""
    if "vectors" not in batch:
        return dict(batch)
    kept = {
        name: values
        for name, values in batch.items()
        if name not in ("vectors", "shown_clips", "wanted_clips")
    }
    with_zero = torch.cat([batch["vectors"], batch["vectors"].new_zeros(1, batch["vectors"].shape[1])])
    return kept | {  # -1 is the row of zeros
        "visual_features": with_zero[batch["shown_clips"]],
        "feature_labels": with_zero[batch["wanted_clips"]],
    }


@torch.no_grad()
def tally_of(output: VideoBertForPreTrainingOutput, batch: Mapping[str, Tensor]) -> Tally:
    """Losses and right answers by cell."""
    tally = Tally.empty(CELLS)
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
        tally.cells[cell] = sums(output.prediction_losses[here], is_right[here])
    if output.alignment_logits is not None and output.alignment_losses is not None:
        wanted = batch["alignment_labels"][batch["alignment_labels"] != IGNORED]
        tally.cells[4] = sums(output.alignment_losses, output.alignment_logits.argmax(-1) == wanted)
    if output.feature_logits is not None and output.feature_losses is not None:
        own = torch.arange(len(output.feature_logits), device=output.feature_logits.device)
        tally.cells[5] = sums(output.feature_losses, output.feature_logits.argmax(-1) == own)
    tally.positions[0] = (batch["sequence_ids"] > 0).sum()
    tally.positions[1] = batch["input_ids"].numel()
    return tally
