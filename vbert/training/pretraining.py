"""The pretraining objective: masked words, masked clips and alignment, and what is measured on the way."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from vbert.documents.sequences import IGNORED, VIDEO, Batch, Regime
from vbert.model.modeling_videobert import VideoBertForPreTrainingOutput
from vbert.training.objective import COUNT, LOSS, Objective, Tally, sums
from vbert.training.parallel import unwrapped

# What is predicted, in which regime.
CELLS = ("text/words", "video/clips", "joint/words", "joint/clips", "alignment", "features")
CELL_OF = {
    (Regime.TEXT, False): "text/words",
    (Regime.VIDEO, True): "video/clips",
    (Regime.JOINT, False): "joint/words",
    (Regime.JOINT, True): "joint/clips",
}
# Labels come in a number that is a multiple of 1/32 of the positions, so that micro-batches differ in shape
# next to never: 15 % of 32,768 are 4,915 give or take 65, of 5,120.
LABEL_STEP = 32
# The same of sequences: 32,768 positions hold 330 to 380 of 97 in the mean and paddings of rows, of 511.
SEQUENCE_STEP = 128


class Pretraining(Objective):
    """The mean over everything that is masked, the mean over the alignment pairs, and of continuous features
    the mean over masked vectors."""

    names = CELLS

    def tensors(self, batch: Batch) -> dict[str, Tensor]:
        """What the model takes: where it is to predict what, and where sequences begin, is found out here.
        Beside it `cells` int64 [M]: the number of each label's cell of the tally."""
        masked, labels = places(batch["labels"])
        pairs, alignment = places(batch["alignment_labels"])
        arrays = {
            **{name: batch[name] for name in ("input_ids", "token_type_ids", "position_ids", "sequence_ids")},
            **{"label_positions": masked, "labels": labels, "cells": cells_of(batch, masked)},
            **{"alignment_positions": pairs, "alignment_labels": alignment},
        }
        if "wanted_clips" in batch:
            arrays |= {name: batch[name] for name in ("shown_clips", "wanted_clips")}
            arrays["feature_positions"] = np.flatnonzero(batch["wanted_clips"] >= 0)
        tensors = {name: torch.from_numpy(values.astype(np.int64)) for name, values in arrays.items()}
        # Kernels and hashes take these in 32 bits.
        tensors["cu_seq_lens_q"] = torch.from_numpy(sequence_starts(batch["sequence_ids"]))
        kept = {name: torch.tensor(batch[name]) for name in ("vectors", "dropout_seeds") if name in batch}
        return tensors | kept

    def counts(self, batch: Batch) -> Tensor:
        """How many positions are masked, how many pairs there are, how many vectors are masked."""
        masked = int((batch["labels"] != IGNORED).sum())
        pairs = int((batch["alignment_labels"] != IGNORED).sum())
        vectors = int((batch["wanted_clips"] >= 0).sum()) if "wanted_clips" in batch else 0
        return torch.tensor([masked, pairs, vectors], dtype=torch.float64)

    def positions(self, batch: Batch) -> Tensor:
        """Padding has a sequence's number 0."""
        used = batch["sequence_ids"] > 0
        return torch.tensor([used.sum(), used.size], dtype=torch.float64)

    def outcome(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The three sums of losses, those of alignment weighted as the configuration says."""
        inputs = spread_vectors(inputs)
        output: VideoBertForPreTrainingOutput = model(
            **{name: values for name, values in inputs.items() if name != "cells"},
            max_length_q=inputs["input_ids"].shape[1],
        )
        assert output.prediction_losses is not None
        assert output.alignment_losses is not None
        masked, pairs = output.prediction_losses.sum(), output.alignment_losses.sum()
        vectors = torch.zeros_like(masked) if output.feature_losses is None else output.feature_losses.sum()
        weight = unwrapped(model).config.alignment_loss_weight
        return torch.stack([masked, weight * pairs, vectors]), cells_seen(output, inputs)

    def metrics(self, tally: Tally) -> dict[str, float]:
        """`loss`, the sum of the three means, and `loss/joint/words`, `accuracy/joint/words` and so on."""
        masked, pairs, clips = tally.cells[:4].sum(0), tally.cells[4], tally.cells[5]
        parts = [float(part[LOSS] / part[COUNT]) for part in (masked, pairs, clips) if part[COUNT]]
        return {"loss": sum(parts)} | tally.means()


PRETRAINING = Pretraining()


def places(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where labels [B, L] are, counted row by row, and which: two arrays of one length, filled up with the
    position 0 and the label that asks for nothing (see LABEL_STEP)."""
    found = np.flatnonzero(labels != IGNORED)
    step = max(1, labels.size // LABEL_STEP)
    missing = -len(found) % step if len(found) else step
    return np.pad(found, (0, missing)), np.pad(labels.ravel()[found], (0, missing), constant_values=IGNORED)


def cells_of(batch: Batch, positions: np.ndarray) -> np.ndarray:
    """Which cell of a tally the prediction at each position counts in."""
    regimes = batch["regimes"].ravel()[positions]
    is_clip = batch["token_type_ids"].ravel()[positions] == VIDEO
    cells = np.zeros(len(positions), np.int64)
    for (regime, clip), name in CELL_OF.items():
        cells[(regimes == regime) & (is_clip == clip)] = CELLS.index(name)
    return cells


def sequence_starts(sequence_ids: np.ndarray) -> np.ndarray:
    """Where the sequences of packed rows [B, L] begin, counted row by row, and the end of the last: int32
    [S + 1]. What fills up a row counts as a sequence; empty ones at the end make S + 1 a multiple of a step
    (see SEQUENCE_STEP), so that kernels are planned, and graphs compiled, for one shape."""
    is_first = np.ones(sequence_ids.shape, bool)
    is_first[:, 1:] = sequence_ids[:, 1:] != sequence_ids[:, :-1]
    starts = np.append(np.flatnonzero(is_first), is_first.size)
    step = max(1, is_first.size // SEQUENCE_STEP)
    return np.pad(starts, (0, -len(starts) % step), mode="edge").astype(np.int32)


def spread_vectors(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the model's device: the inputs with `visual_features` and `feature_labels` float [B, L, F]."""
    if "vectors" not in inputs:
        return dict(inputs)
    kept = {
        name: values
        for name, values in inputs.items()
        if name not in ("vectors", "shown_clips", "wanted_clips")
    }
    vectors = inputs["vectors"]
    with_zero = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])
    return kept | {  # -1 is the row of zeros
        "visual_features": with_zero[inputs["shown_clips"]],
        "feature_labels": with_zero[inputs["wanted_clips"]],
    }


@torch.no_grad()
def cells_seen(output: VideoBertForPreTrainingOutput, inputs: Mapping[str, Tensor]) -> Tensor:
    """Losses, right answers and numbers by cell, float64 [6, 3]."""
    assert output.prediction_losses is not None
    assert output.predicted_ids is not None
    cells = output.prediction_losses.new_zeros(len(CELLS), 3, dtype=torch.float64)
    labels = inputs["labels"]
    seen = [output.prediction_losses, output.predicted_ids == labels, labels != IGNORED]
    cells.index_add_(0, inputs["cells"], torch.stack([values.double() for values in seen], dim=1))
    if output.alignment_logits is not None and output.alignment_losses is not None:
        wanted = inputs["alignment_labels"]
        seen = [output.alignment_losses, output.alignment_logits.argmax(-1) == wanted, wanted != IGNORED]
        cells[4] = torch.stack([values.double().sum() for values in seen])
    if output.feature_logits is not None and output.feature_losses is not None:
        own = torch.arange(len(output.feature_logits), device=output.feature_logits.device)
        cells[5] = sums(output.feature_losses, output.feature_logits.argmax(-1) == own)
    return cells
