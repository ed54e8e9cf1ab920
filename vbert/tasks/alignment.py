"""How well texts and videos belong together, by a pretrained model's alignment objective."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vbert.documents.sequences import IGNORED
from vbert.tasks.base import to_tensors
from vbert.tasks.examples import packed_inputs, sequence_of
from vbert.text.joint_vocabulary import JointVocabulary

if TYPE_CHECKING:
    from vbert.model.modeling_videobert import VideoBertForPreTraining

PAIRS_AT_ONCE = 256
ROW_LENGTH = 512


@torch.inference_mode()
def alignment_scores(
    model: "VideoBertForPreTraining",
    vocabulary: JointVocabulary,
    pairs: Sequence[tuple[np.ndarray, Sequence[int]]],
) -> np.ndarray:
    """Log-odds float32 [num_pairs] that a text and a video belong together.

    A pair is word pieces int64 [length] and visual tokens. Pairs are packed into rows; the scores are read at
    each one's [CLS].
    """
    untyped: Any = model
    length = min(ROW_LENGTH, model.config.max_position_embeddings)
    found = [np.zeros(0, np.float32)]
    for first in range(0, len(pairs), PAIRS_AT_ONCE):
        mine = pairs[first : first + PAIRS_AT_ONCE]
        sequences = [sequence_of(words, tokens, vocabulary, row_length=length) for words, tokens in mine]
        inputs = packed_inputs(sequences, vocabulary, row_length=length)
        is_first = (inputs["position_ids"] == 0) & (inputs["sequence_ids"] >= 0)
        asked = {
            "alignment_labels": np.where(is_first, 1, IGNORED),
            "labels": np.full_like(is_first, IGNORED, int),
        }
        output = untyped(**to_tensors(inputs | asked, untyped.device))
        odds = (output.alignment_logits[:, 1] - output.alignment_logits[:, 0]).float().cpu().numpy()
        scores = np.zeros(len(mine), np.float32)
        scores[inputs["sequence_ids"][is_first]] = odds
        found.append(scores)
    return np.concatenate(found)
