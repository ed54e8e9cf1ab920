"""Visual tokens that a model expects: for a text (text-to-video), or after some clips (forecasting).

[CLS] text [>] [MASK] ... [SEP]      and      [CLS] [>] clips [MASK] ... [SEP]   (VideoBERT, section 4.2)
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from vbert.documents.sequences import Regime, join
from vbert.tasks.base import to_tensors
from vbert.tasks.examples import InputSequence, padded_inputs, sequence_of
from vbert.text.joint_vocabulary import JointVocabulary

if TYPE_CHECKING:
    from vbert.model.modeling_videobert import VideoBertForPreTraining

SEQUENCES_AT_ONCE = 64
NUM_MASKS = 3


@torch.inference_mode()
def expected_tokens(
    model: "VideoBertForPreTraining",
    vocabulary: JointVocabulary,
    sequences: Sequence[InputSequence],
) -> np.ndarray:
    """Probabilities float32 [num_sequences, num_visual_tokens], the mean over each sequence's masks, of which
    it has at least one."""
    found: list[Tensor] = []
    untyped: Any = model
    for first in range(0, len(sequences), SEQUENCES_AT_ONCE):
        mine = sequences[first : first + SEQUENCES_AT_ONCE]
        inputs = to_tensors(padded_inputs(mine, vocabulary), untyped.device)
        hidden = untyped.bert(**inputs).last_hidden_state
        is_asked = inputs["input_ids"] == vocabulary.mask_id
        logits = untyped.cls.predictions(hidden[is_asked], untyped.bert.embeddings)
        chances = logits[:, vocabulary.visual_offset :].float().softmax(-1)
        owners = is_asked.nonzero()[:, 0]
        sums = chances.new_zeros(len(mine), chances.shape[1]).index_add(0, owners, chances)
        found.append((sums / torch.bincount(owners, minlength=len(mine))[:, None]).cpu())
    return torch.cat(found).numpy()


def text_to_video(
    model: "VideoBertForPreTraining", vocabulary: JointVocabulary, texts: Sequence[str]
) -> np.ndarray:
    """Probabilities float32 [num_texts, num_visual_tokens] of what is shown when a text is said."""
    length = model.config.max_position_embeddings
    hidden = np.full(NUM_MASKS, vocabulary.mask_id)
    joined = [
        InputSequence(*join(words, hidden, vocabulary, regime=Regime.JOINT, row_length=length))
        for words in vocabulary.encode(texts)
    ]
    return expected_tokens(model, vocabulary, joined)


def forecast(
    model: "VideoBertForPreTraining", vocabulary: JointVocabulary, seen: Sequence[Sequence[int]]
) -> np.ndarray:
    """Probabilities float32 [n, num_visual_tokens] of the clip that follows visual tokens int [length]."""
    length = model.config.max_position_embeddings
    nothing = np.zeros(0, np.int64)
    sequences = []
    for tokens in seen:
        recent = list(tokens)[-(length - 4) :]
        ids, types, _ = sequence_of(nothing, recent, vocabulary, row_length=length)
        # The last position is [SEP]'s: the mask goes before it.
        sequences.append(InputSequence(np.insert(ids, -1, vocabulary.mask_id), np.append(types, types[-1])))
    return expected_tokens(model, vocabulary, sequences)


def next_clips(documents: Iterable[Sequence[int]], *, num_seen: int) -> tuple[list[list[int]], np.ndarray]:
    """Intervals of `num_seen` visual tokens, and the token int64 [n] that follows each: all that do not
    overlap."""
    seen, followed = [], []
    for tokens in documents:
        for first in range(0, len(tokens) - num_seen, num_seen + 1):
            seen.append(list(tokens[first : first + num_seen]))
            followed.append(tokens[first + num_seen])
    return seen, np.array(followed, np.int64)


class NextCounts:
    """How often each visual token followed each other one in some documents: what two baselines rank by."""

    def __init__(self, documents: Iterable[Sequence[int]], *, num_visual_tokens: int) -> None:
        tokens = [np.asarray(mine, np.int64) for mine in documents]
        nothing = np.zeros(0, np.int64)
        before = np.concatenate([nothing, *(mine[:-1] for mine in tokens)])
        after = np.concatenate([nothing, *(mine[1:] for mine in tokens)])
        shape = (num_visual_tokens, num_visual_tokens)
        self._followed = csr_array((np.ones(len(before)), (before, after)), shape=shape)
        self._shown = np.bincount(np.concatenate([nothing, *tokens]), minlength=num_visual_tokens)

    def most_frequent_next(self, last: Sequence[int]) -> np.ndarray:
        """Scores float64 [n, num_visual_tokens] of what follows each last token: how often it did, and of
        what did equally often how often it is shown at all."""
        scores: np.ndarray = self._followed[list(last)].toarray()
        scores += self._shown / (1.0 + self._shown.sum())
        return scores

    def same_again(self, last: Sequence[int]) -> np.ndarray:
        """The same of which the last token itself is first."""
        scores = self.most_frequent_next(last)
        scores[np.arange(len(last)), last] = np.inf
        return scores
