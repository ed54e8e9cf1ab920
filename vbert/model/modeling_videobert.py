"""VideoBERT (Sun et al. 2019) as Hugging Face classes: BERT, and visual words beside its word pieces.

Shapes: B rows, L positions a row, D hidden size, V joint vocabulary, F visual feature size, M masked
positions and S sequences of the whole batch.
"""

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, BertConfig, BertModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask, packed_sequence_mask_function
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions
from transformers.models.bert.modeling_bert import BertPreTrainedModel
from transformers.utils.generic import ModelOutput, can_return_tuple

from .configuration_videobert import AUTO_MAP, VideoBertConfig, from_bert_config, is_installed
from .modeling_contrast import PairContrast
from .modeling_embeddings import VideoBertEmbeddings, scaled
from .modeling_pooling import means, means_from, sequence_numbers
from .modeling_pretraining_heads import VideoBertHeads, VideoBertPredictionHead

if TYPE_CHECKING:
    # A checkpoint is saved with the code that its model's imports name, by their text: also that of the heads
    # which may be put on it.
    from .modeling_heads import VideoBertForClassification as VideoBertForClassification

IGNORED = -100  # a label that asks for no prediction, as everywhere in Hugging Face's models


# Of the head: 1,024 x 51,259 logits of BERT's and the paper's vocabularies are 210 MB in float32.
POSITIONS_AT_ONCE = 1024


class VideoBertPreTrainedModel(BertPreTrainedModel):
    """Configuration, weight names and initialisation of all VideoBERT models."""

    config: VideoBertConfig
    config_class = VideoBertConfig

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, VideoBertPredictionHead):
            init.zeros_(module.bias)
            init.zeros_(module.visual_bias)
        if isinstance(module, PairContrast):
            init.constant_(module.logit_scale, -math.log(self.config.visual_temperature))

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """As any model's, with the code: it opens without vbert, by `trust_remote_code=True`."""
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, **kwargs)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """As of any model: word pieces are added or taken away. The ids of `[>]` and of visual tokens, which
        come behind them, move with their number."""
        resized: nn.Embedding = super().resize_token_embeddings(*args, **kwargs)
        for module in self.modules():
            if isinstance(module, VideoBertPredictionHead):
                module.resize(resized.num_embeddings)
        return resized

    @classmethod
    def from_bert(cls, name_or_path: str, **changes: Any) -> Self:
        """Any BERT checkpoint's weights, with new rows for the visual words.

        `changes` go into the configuration, `num_visual_tokens=...` first of all. What the checkpoint lacks
        (the visual rows; a sentence encoder's prediction head) is initialised as BERT's own is.
        """
        bert = AutoConfig.from_pretrained(name_or_path)
        if not isinstance(bert, BertConfig):
            raise ValueError(f"{name_or_path}: a {bert.model_type} checkpoint, and not BERT's")
        model: Self = cls.from_pretrained(name_or_path, config=from_bert_config(bert, **changes))
        return model


class VideoBertModel(VideoBertPreTrainedModel, BertModel):
    """The encoder. Without visual ids it computes what `BertModel` does, with the same weights."""

    config_class = VideoBertConfig

    def __init__(self, config: VideoBertConfig, add_pooling_layer: bool = False) -> None:  # noqa: FBT001, FBT002
        BertModel.__init__(self, config, add_pooling_layer=add_pooling_layer)
        self.embeddings = VideoBertEmbeddings(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        visual_features: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Ids int64 [B, L], or their embeddings [B, L, D], -> last_hidden_state [B, L, D].

        A row may hold several sequences: `sequence_ids` int64 [B, L] numbers them, attention stays within
        equal numbers (padding has one of its own), and `position_ids` begin again in each. Packed rows need
        eager, sdpa or flex attention. Otherwise `attention_mask` [B, L] is 1 where there is no padding.
        """
        embeddings: Any = self.embeddings
        embedded = embeddings.embed(input_ids, visual_features) if inputs_embeds is None else inputs_embeds
        mask: Any = attention_mask
        if sequence_ids is not None:
            if "flash" in self.config._attn_implementation:
                raise ValueError("packed rows need attn_implementation eager, sdpa or flex_attention")
            mask = create_bidirectional_mask(
                config=self.config,
                inputs_embeds=embedded,
                attention_mask=None,
                and_mask_function=packed_sequence_mask_function(sequence_ids),
            )
        output: BaseModelOutputWithPoolingAndCrossAttentions = super().forward(
            inputs_embeds=embedded,
            attention_mask=mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            **kwargs,
        )
        return output


@dataclass
class VideoBertForPreTrainingOutput(ModelOutput):
    """What a pretraining step gives.

    loss: scalar, the mean over what was masked, and the other means by their weights in the configuration.
    prediction_logits: [M, V] of the masked positions in reading order if labels were given, else [B, L, V];
    None if label_positions were given.
    prediction_losses: [M], 0 where a label is -100.
    predicted_ids: int64 [M], the likeliest.
    alignment_logits: [S, 2], not aligned and aligned: at the [CLS] that have a label, else [B, 2] at the
    rows' first positions.
    alignment_losses: [S].
    feature_logits: [N, N] of continuous features: masked places against the batch's masked clips.
    feature_losses: [N].
    contrastive_logits: [P, N] of texts and videos that were encoded apart (see PairContrast).
    contrastive_losses: [2 P], 0 where there is no pair.
    contrastive_is_right: bool [2 P].
    hidden_states, attentions: as of any encoder, if asked for.
    """

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    prediction_losses: Tensor | None = None
    predicted_ids: Tensor | None = None
    alignment_logits: Tensor | None = None
    alignment_losses: Tensor | None = None
    feature_logits: Tensor | None = None
    feature_losses: Tensor | None = None
    contrastive_logits: Tensor | None = None
    contrastive_losses: Tensor | None = None
    contrastive_is_right: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class VideoBertForPreTraining(VideoBertPreTrainedModel):
    """Masked text, masked video and alignment.

    Visual tokens are predicted like words (the paper). Continuous features are told from the batch's other
    masked clips by a normalised dot product: noise-contrastive estimation, as in CBT (Sun et al. 2019b), and
    no regression, whose best answer to an uncertain future is the mean of all, which no clip looks like.
    """

    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012 (Hugging Face's own, an instance variable there)
        r"cls\.predictions\.decoder",
        r"cls\.seq_relationship",
        r"pooler",
    ]

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)
        self.bert = VideoBertModel(config)
        self.cls = VideoBertHeads(config)
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        visual_features: Tensor | None = None,
        labels: Tensor | None = None,
        feature_labels: Tensor | None = None,
        alignment_labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        label_positions: Tensor | None = None,
        alignment_positions: Tensor | None = None,
        feature_positions: Tensor | None = None,
        pair_positions: Tensor | None = None,
        pair_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> VideoBertForPreTrainingOutput:
        """Run the encoder and the heads; the head over the vocabulary only where there is a label.

        Arguments beyond VideoBertModel's: `labels` int64 [B, L], a joint id or -100; `alignment_labels` int64
        [B, L], 1 at the [CLS] of an aligned pair, 0 at that of another, else -100; `feature_labels` float
        [B, L, F] with `visual_features`: the vectors of masked clips, and zeros where none is asked for.

        Where labels are may be said in advance, so that no step waits for the device to find them:
        `label_positions` int64 [M] and `alignment_positions` [S] count all positions row by row, and go with
        `labels` [M] and `alignment_labels` [S], which are -100 where there is no more to predict;
        `feature_positions` [N] says where `feature_labels` are not zero.

        `pair_positions` int64 [2, P] say where texts and their videos begin, sequences of their own, and
        `pair_labels` [P] are PairContrast's numbers.
        """
        encoded = self.bert(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            sequence_ids=sequence_ids,
            visual_features=visual_features,
            inputs_embeds=inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        hidden = encoded.last_hidden_state
        output = VideoBertForPreTrainingOutput(
            hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )
        states = hidden.flatten(0, 1)
        losses = []
        if labels is None:
            output.prediction_logits = self.cls.predictions(hidden, self.bert.embeddings)
        elif label_positions is None:
            label_positions, labels = _places(labels)
            output.prediction_logits = self.cls.predictions(states[label_positions], self.bert.embeddings)
            output.prediction_losses = _cross_entropies(output.prediction_logits, labels)
            output.predicted_ids = output.prediction_logits.argmax(-1)
            losses.append(_mean(output.prediction_losses, labels))
        else:
            found = self._predictions(states[label_positions], labels)
            output.prediction_losses, output.predicted_ids = found
            losses.append(_mean(output.prediction_losses, labels))
        if feature_labels is not None:
            wanted = feature_labels.flatten(0, 1)
            if feature_positions is None:
                feature_positions = wanted.any(dim=-1).nonzero().squeeze(1)
            output.feature_logits = self._feature_logits(states[feature_positions], wanted[feature_positions])
            own = torch.arange(len(output.feature_logits), device=hidden.device)
            output.feature_losses = _cross_entropies(output.feature_logits, own)
            losses.append(_mean(output.feature_losses, own))
        if alignment_labels is None:
            output.alignment_logits = self.cls.alignment(hidden[:, 0])
        else:
            if alignment_positions is None:
                alignment_positions, alignment_labels = _places(alignment_labels)
            output.alignment_logits = self.cls.alignment(states[alignment_positions])
            output.alignment_losses = _cross_entropies(output.alignment_logits, alignment_labels)
            mean = _mean(output.alignment_losses, alignment_labels)
            losses.append(self.config.alignment_loss_weight * mean)
        if pair_positions is not None and pair_labels is not None:
            if self.cls.contrast is None or position_ids is None:
                raise ValueError("pairs need position_ids and a configuration with contrastive_loss_weight")
            told = self.cls.contrast(means_from(hidden, position_ids, pair_positions), pair_labels)
            output.contrastive_logits, output.contrastive_losses, output.contrastive_is_right = told
            mean = _mean(told[1], pair_labels.repeat(2))
            losses.append(self.config.contrastive_loss_weight * mean)
        # Made anew, or the loss would not be the first of the output as a tuple.
        return replace(output, loss=torch.stack(losses).sum() if losses else None)

    def _predictions(self, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and likeliest ids [M] of states [M, D], without logits [M, V] in float32.

        Eager, a part at a time, whose logits are computed again in the backward pass; compiled, the cast to
        float32 is fused into the sums.
        """
        if torch.compiler.is_compiling() or len(states) <= POSITIONS_AT_ONCE:
            return self._predictions_at_once(states, labels)
        parts = zip(states.split(POSITIONS_AT_ONCE), labels.split(POSITIONS_AT_ONCE), strict=True)
        found = [checkpoint(self._predictions_at_once, *part, use_reentrant=False) for part in parts]
        losses, predicted_ids = zip(*found, strict=True)
        return torch.cat(losses), torch.cat(predicted_ids)

    def _predictions_at_once(self, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.cls.predictions(states, self.bert.embeddings)
        return _cross_entropies(logits, labels), logits.argmax(-1)

    def embed(self, input_ids: Tensor, is_video: Tensor, **inputs: Any) -> Tensor:
        """Vectors [S, D] of length 1 of texts and videos, each a sequence; `is_video` bool [S] says which are
        clips, not words. `sequence_ids` [B, L] number them from 0 over all rows, -1 is padding; without them
        each row is one."""
        if self.cls.contrast is None:
            raise ValueError("vectors need a configuration with contrastive_loss_weight")
        hidden = self.bert(input_ids, return_dict=True, **inputs).last_hidden_state
        sequence_ids = inputs.get("sequence_ids")
        if sequence_ids is None:
            sequence_ids = sequence_numbers(input_ids, attention_mask=inputs.get("attention_mask"))
        mean_states = means(hidden, sequence_ids, sequence_ids >= 0, len(is_video))
        vectors: Tensor = self.cls.contrast.embed(mean_states, is_video.bool())
        return vectors

    def _feature_logits(self, states: Tensor, wanted: Tensor) -> Tensor:
        """[N, N]: row i is a masked place, column j the vector of the j-th masked clip."""
        if self.cls.features is None:
            raise ValueError("feature_labels need a configuration with visual_feature_dim")
        guesses = F.normalize(self.cls.features(states).float(), dim=-1)
        clips = F.normalize(scaled(wanted.float()), dim=-1)
        return guesses @ clips.T / self.config.visual_temperature


def _places(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where labels [B, L] are, counted row by row, and which; a GPU is waited for."""
    places = (labels != IGNORED).flatten().nonzero().squeeze(1)
    return places, labels.flatten()[places]


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), labels, reduction="none", ignore_index=IGNORED)


def _mean(losses: Tensor, labels: Tensor) -> Tensor:
    """0 where there is nothing to average: a batch may hold no pair."""
    return losses.sum() / (labels != IGNORED).sum().clamp(min=1)


VideoBertModel.register_for_auto_class("AutoModel")  # type: ignore[no-untyped-call]
VideoBertForPreTraining.register_for_auto_class("AutoModelForPreTraining")  # type: ignore[no-untyped-call]
if is_installed(__name__):
    AutoModel.register(VideoBertConfig, VideoBertModel)
    AutoModelForPreTraining.register(VideoBertConfig, VideoBertForPreTraining)
