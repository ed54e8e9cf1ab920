"""Zero-shot classification of clips by filling in a sentence (VideoBERT, section 4.4).

    [CLS] now let me show you how to [MASK] the [MASK] . [>] the clip's visual tokens [SEP]

The first mask is scored over given verbs, the second over given objects: no label is ever trained on.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vbert.documents.sequences import Regime, join
from vbert.errors import UserError
from vbert.tasks.base import to_tensors
from vbert.tasks.examples import InputSequence, padded_inputs
from vbert.text.joint_vocabulary import JointVocabulary

if TYPE_CHECKING:
    from vbert.model.modeling_videobert import VideoBertForPreTraining

TEMPLATE = "now let me show you how to {verb} the {object} ."
KINDS = ("verb", "object")
CLIPS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The words to choose from."""

    verbs: tuple[str, ...]
    objects: tuple[str, ...]


def check_template(template: str) -> None:
    """UserError unless the sentence has a place for each kind of word."""
    for kind in KINDS:
        if template.count(f"{{{kind}}}") != 1:
            raise UserError(f"template {template!r}: needs one {{{kind}}}")


class ZeroShotClassifier:
    """A pretrained model that tells which verb and which object a clip shows."""

    def __init__(
        self,
        model: "VideoBertForPreTraining",
        vocabulary: JointVocabulary,
        classes: Classes,
        *,
        template: str = TEMPLATE,
    ) -> None:
        check_template(template)
        untyped: Any = model
        self.model: Any = untyped.eval()
        self.vocabulary = vocabulary
        self.words = {
            "verb": vocabulary.encode(classes.verbs),
            "object": vocabulary.encode(classes.objects),
        }
        self.template = template

    @torch.inference_mode()
    def scores(self, clips: Sequence[np.ndarray], *, with_video: bool = True) -> dict[str, np.ndarray]:
        """Log-probabilities float32 [num_clips, num_words] of every verb and every object.

        `clips` are the visual tokens int [length] of each clip to be told, or its features float [length, F]
        for a model that takes these; without video all clips get the language prior's scores. A word of
        several pieces gets as many masks, and the mean over them; while verbs of some length are scored, the
        object has one mask, and the other way round.
        """
        found = {kind: np.zeros((len(clips), len(self.words[kind])), np.float32) for kind in KINDS}
        lengths = {kind: {len(word) for word in self.words[kind]} for kind in KINDS}
        prompts = {(length, 1) for length in lengths["verb"]} | {(1, length) for length in lengths["object"]}
        for num_masks in sorted(prompts):
            at_masks = self._at_masks(clips, num_masks, with_video=with_video)
            for kind, own, other in (
                ("verb", num_masks[0], num_masks[1]),
                ("object", num_masks[1], num_masks[0]),
            ):
                places = [at for at, word in enumerate(self.words[kind]) if len(word) == own]
                if other != 1 or not places:
                    continue
                pieces = torch.tensor(np.stack([self.words[kind][at] for at in places]))
                for piece, log_probabilities in enumerate(at_masks[kind]):
                    found[kind][:, places] += log_probabilities[:, pieces[:, piece]].numpy() / own
        return found

    def _at_masks(
        self, clips: Sequence[np.ndarray], num_masks: tuple[int, int], *, with_video: bool
    ) -> dict[str, list[Tensor]]:
        """For the verb and the object, for each of its masks, float32 [num_clips, num_word_pieces]."""
        prompt, masks = self._prompt(num_masks)
        found: dict[str, list[list[Tensor]]] = {kind: [[] for _ in masks[kind]] for kind in KINDS}
        for first in range(0, len(clips), CLIPS_AT_ONCE):
            inputs = self._inputs(clips[first : first + CLIPS_AT_ONCE], prompt, with_video=with_video)
            hidden = self.model.bert(**inputs).last_hidden_state
            for kind in KINDS:
                for number, at in enumerate(masks[kind]):
                    # [CLS] comes before the prompt. Visual words are no answer to this question.
                    logits = self.model.cls.predictions(hidden[:, 1 + at], self.model.bert.embeddings)
                    words = logits[:, : self.vocabulary.num_word_pieces].float().log_softmax(-1)
                    found[kind][number].append(words.cpu())
        return {kind: [torch.cat(parts) for parts in found[kind]] for kind in KINDS}

    def _inputs(
        self, clips: Sequence[np.ndarray], prompt: np.ndarray, *, with_video: bool
    ) -> dict[str, Tensor]:
        """A padded batch of the prompt with each clip."""
        joined = [self._sequence(shown if with_video else shown[:0], prompt) for shown in clips]
        return to_tensors(padded_inputs(joined, self.vocabulary), self.model.device)

    def _sequence(self, shown: np.ndarray, prompt: np.ndarray) -> InputSequence:
        """The prompt with a clip, or alone."""
        sees_features = self.model.config.visual_feature_dim is not None
        tokens = np.zeros(len(shown), np.int64) if sees_features else np.asarray(shown, np.int64)
        ids, token_types = join(
            prompt,
            tokens + self.vocabulary.visual_offset,
            self.vocabulary,
            regime=Regime.JOINT if len(shown) else Regime.TEXT,
            row_length=self.model.config.max_position_embeddings,
        )
        if not sees_features or len(shown) == 0:
            return InputSequence(ids, token_types)
        num_kept = int((ids >= self.vocabulary.visual_offset).sum())
        return InputSequence(ids, token_types, shown[:num_kept])

    def _prompt(self, num_masks: tuple[int, int]) -> tuple[np.ndarray, dict[str, range]]:
        """Word pieces of the template with so many masks for verb and object, and where those are."""
        pieces: list[np.ndarray] = []
        masks = {}
        for part in re.split(r"(\{verb\}|\{object\})", self.template):
            kind = part.strip("{}")
            if kind in KINDS:
                count, first = num_masks[KINDS.index(kind)], sum(map(len, pieces))
                masks[kind] = range(first, first + count)
                pieces.append(np.full(count, self.vocabulary.mask_id))
            elif part.strip():
                pieces += self.vocabulary.encode([part])
        return np.concatenate(pieces), masks


def word_counts(sentences: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """How often each of some words is said, int64 [num_words]: what the frequency baseline ranks by."""
    said = Counter(word for sentence in sentences for word in re.findall(r"\w+", sentence.lower()))
    return np.array([said[word] for word in words], np.int64)
