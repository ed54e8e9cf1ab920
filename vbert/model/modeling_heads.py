"""VideoBERT with a head for a task, as Hugging Face classes; all start from a pretrained checkpoint.

Shapes: B rows, L positions a row, D hidden size, F size of continuous features, S sequences of the whole
batch. Rows may hold several
sequences, as `examples.packed_inputs` makes them: sequence_ids number them from 0, -1 is padding. Without
sequence_ids each row is a sequence, and attention_mask says where it ends.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForVideoClassification
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPoolingAndCrossAttentions
from transformers.utils.generic import ModelOutput, can_return_tuple

from .configuration_videobert import VideoBertConfig, is_installed
from .modeling_contrast import PairContrast, filled_up
from .modeling_pooling import firsts, means, sequence_numbers
from .modeling_videobert import IGNORED, VideoBertModel, VideoBertPreTrainedModel


@dataclass
class TaskOutput(ModelOutput):
    """What a head gives.

    loss: scalar, the mean of losses, if labels were given.
    logits: see the model.
    hidden_states, attentions: as of any encoder, if asked for.
    losses: [M], one for each thing that was to be said: an example, or a word of a caption.
    is_right: bool [M], whether the likeliest answer was a right one.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    losses: Tensor | None = None
    is_right: Tensor | None = None


def answered(logits: Tensor, encoded: BaseModelOutput) -> TaskOutput:
    """An output without a loss."""
    return TaskOutput(logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions)


def scored(output: TaskOutput, losses: Tensor, is_right: Tensor) -> TaskOutput:
    """The same with its mean loss, which is the first of the output as a tuple."""
    return replace(output, loss=losses.sum() / max(1, losses.numel()), losses=losses, is_right=is_right)


class ClipFeatures(nn.Module):
    """Continuous features of clips as states: standardised over the training examples' clips, projected."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__()
        if config.head_feature_dim is None:
            raise ValueError(f"head_features {config.head_features} need a head_feature_dim")
        self.register_buffer("mean", torch.zeros(config.head_feature_dim))
        self.register_buffer("scale", torch.ones(config.head_feature_dim))
        self.projection = nn.Linear(config.head_feature_dim, config.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """[..., F] -> [..., D]."""
        standardised = (features - self.mean) / self.scale
        return self.projection(standardised.to(self.projection.weight.dtype))  # type: ignore[no-any-return]


class VideoBertFusedModel(VideoBertModel):
    """The encoder as heads see it, by the configuration's `head_features`.

    tokens: its states. fused: at clips, the sum of their states and their projected features, since the
    paper's best captions come of VideoBERT and S3D together (section 4.6). features: it sees the text alone,
    and at clips their projected features stand in the place of states.
    """

    def __init__(self, config: VideoBertConfig, add_pooling_layer: bool = False) -> None:  # noqa: FBT001, FBT002
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        self.clip_features = None if config.head_features == "tokens" else ClipFeatures(config)
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ClipFeatures):
            init.zeros_(module.mean)
            init.ones_(module.scale)

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
        """As VideoBertModel's. With `head_features`, `visual_features` float [B, L, F] are those of the
        clips, and count nowhere else."""
        inputs: dict[str, Any] = {"token_type_ids": token_type_ids, "position_ids": position_ids} | kwargs
        if self.clip_features is None:
            return super().forward(
                input_ids,
                attention_mask,
                sequence_ids=sequence_ids,
                visual_features=visual_features,
                inputs_embeds=inputs_embeds,
                **inputs,
            )
        if input_ids is None or visual_features is None:
            raise ValueError(f"head_features {self.config.head_features} need input_ids and visual_features")
        is_clip = input_ids > self.config.vocab_size
        if self.config.head_features == "features" and sequence_ids is not None:
            sequence_ids = sequence_ids.masked_fill(is_clip, -1)
        elif self.config.head_features == "features":
            seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            attention_mask = seen.masked_fill(is_clip, 0)
        output = super().forward(
            input_ids, attention_mask, sequence_ids=sequence_ids, **inputs | {"return_dict": True}
        )
        states: Any = output.last_hidden_state
        shown = self.clip_features(visual_features)
        if self.config.head_features == "fused":
            shown = states + shown
        output.last_hidden_state = torch.where(is_clip[..., None], shown, states)
        return output


class FreezableEncoder(nn.Module):
    """A model whose encoder `bert` may be kept as it is (a linear probe)."""

    bert: Any
    is_frozen = False

    def freeze_encoder(self) -> None:
        """Train the head alone: the encoder has no gradient and no dropout. The projection of continuous
        features, which is new, is the head's."""
        self.is_frozen = True
        self.bert.requires_grad_(requires_grad=False)
        if self.bert.clip_features is not None:
            self.bert.clip_features.requires_grad_(requires_grad=True)
        self.train(self.training)

    def head_parameters(self) -> list[nn.Parameter]:
        """What is new and no Transformer: the head, and the projection of continuous features."""
        clips: nn.Module | None = self.bert.clip_features
        new = {id(parameter) for parameter in clips.parameters()} if clips is not None else set()
        known = {id(parameter) for part in self.transformers() for parameter in part.parameters()} - new
        return [parameter for parameter in self.parameters() if id(parameter) not in known]

    def transformers(self) -> list[nn.Module]:
        """The encoder."""
        return [self.bert]

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 (torch's own)
        """Training mode of all but a frozen encoder."""
        super().train(mode)
        if self.is_frozen:
            self.bert.eval()
        return self


class VideoBertTaskModel(FreezableEncoder, VideoBertPreTrainedModel):
    """The encoder under a head."""

    _keys_to_ignore_on_load_unexpected = [r"cls\."]  # noqa: RUF012 (Hugging Face's own)

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)
        self.bert = VideoBertFusedModel(config)

    def encoded(self, input_ids: Tensor, **inputs: Any) -> BaseModelOutput:
        """The output of VideoBertFusedModel."""
        output: BaseModelOutput = self.bert(input_ids, return_dict=True, **inputs)
        return output

    def pooled(self, encoded: BaseModelOutput, input_ids: Tensor, **inputs: Any) -> Tensor:
        """[S, 2 D]: the state at [CLS], which alignment has trained, and the mean over the clips, which keeps
        what is in them; over the words where a sequence has no clip."""
        hidden: Any = encoded.last_hidden_state
        sequence_ids = inputs.get("sequence_ids")
        if sequence_ids is None:
            sequence_ids = sequence_numbers(input_ids, attention_mask=inputs.get("attention_mask"))
        num_sequences = int(sequence_ids.max()) + 1
        is_clip = (input_ids > self.config.vocab_size) & (sequence_ids >= 0)
        clips = means(hidden, sequence_ids, is_clip, num_sequences)
        words = means(hidden, sequence_ids, sequence_ids >= 0, num_sequences)
        has_clips = torch.zeros(num_sequences, dtype=torch.bool, device=hidden.device)
        has_clips[sequence_ids[is_clip]] = True
        return torch.cat(
            [firsts(hidden, sequence_ids, num_sequences), torch.where(has_clips[:, None], clips, words)],
            dim=1,
        )


class VideoBertForClassification(VideoBertTaskModel):
    """Which of `num_labels` labels a sequence has, one or any number of them."""

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(2 * config.hidden_size, len(config.id2label or ()))
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **inputs: Any) -> TaskOutput:
        """`labels` int64 [S], or of several float [S, num_labels] of 0 and 1. Logits [S, num_labels]."""
        encoded = self.encoded(input_ids, **inputs)
        logits = self.classifier(self.dropout(self.pooled(encoded, input_ids, **inputs))).float()
        output = answered(logits, encoded)
        if labels is None:
            return output
        best = logits.argmax(-1)
        if labels.dim() == 1:
            return scored(output, F.cross_entropy(logits, labels, reduction="none"), best == labels)
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(-1)
        return scored(output, losses, labels.gather(1, best[:, None]).squeeze(1) > 0)


class VideoBertForMultipleChoice(VideoBertTaskModel):
    """Which of some options belongs to a question and a video: a score for a sequence of all three."""

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        width = config.hidden_size
        # All options of a question have the same clips: what is linear in their features tells none apart.
        self.scorer = (
            nn.Linear(2 * width, 1)
            if config.head_features == "tokens"
            else nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))
        )
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self, input_ids: Tensor, options: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> TaskOutput:
        """`options` int64 [Q, C]: the sequence of each question's options, -1 where it has fewer; `labels`
        int64 [Q]. Logits [Q, C], -inf where there is no option."""
        encoded = self.encoded(input_ids, **inputs)
        pooled = self.dropout(self.pooled(encoded, input_ids, **inputs))
        scores = self.scorer(pooled).squeeze(1).float()
        logits = scores[options.clamp(min=0)].masked_fill(options < 0, -torch.inf)
        output = answered(logits, encoded)
        if labels is None:
            return output
        return scored(output, F.cross_entropy(logits, labels, reduction="none"), logits.argmax(-1) == labels)


class VideoBertForRetrieval(VideoBertTaskModel):
    """Texts and videos in one space, where what belongs together is close: the fast first stage of a search.

    Trained to tell each text's video from the others and each video's text, in the batches of all processes.
    """

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)
        self.text_projection = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.video_projection = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.pairs = PairContrast(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def embed(self, input_ids: Tensor, is_video: Tensor, **inputs: Any) -> Tensor:
        """Vectors [S, D] of length 1; `is_video` bool [S] says which sequences are clips, not words."""
        return self._embedded(self.encoded(input_ids, **inputs), input_ids, is_video, **inputs)

    def _embedded(
        self, encoded: BaseModelOutput, input_ids: Tensor, is_video: Tensor, **inputs: Any
    ) -> Tensor:
        pooled = self.pooled(encoded, input_ids, **inputs)
        vectors = torch.where(
            is_video[:, None].bool(), self.video_projection(pooled), self.text_projection(pooled)
        )
        return F.normalize(vectors.float(), dim=-1)

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self, input_ids: Tensor, is_video: Tensor, text_numbers: Tensor | None = None, **inputs: Any
    ) -> TaskOutput:
        """The first half of the sequences are texts and the second their videos, in the same order; texts of
        equal `text_numbers` [S / 2], in all processes, say the same and are not told apart. Logits
        [S / 2, N]: texts by videos; losses [S] of texts, then of videos."""
        encoded = self.encoded(input_ids, **inputs)
        texts, videos = self._embedded(encoded, input_ids, is_video, **inputs).chunk(2)
        if text_numbers is None:
            return answered(self.pairs.logits(texts, videos), encoded)
        count, numbers, vectors = len(texts), text_numbers, torch.cat([texts, videos], dim=1)
        if self.training:
            vectors, numbers = filled_up(vectors, numbers)
        logits, losses, is_right = self.pairs(*vectors.chunk(2, dim=1), numbers)
        output = answered(logits[:count], encoded)
        mine = (found.view(2, -1)[:, :count].flatten() for found in (losses, is_right))
        return scored(output, *mine)


class VideoBertForClipScoring(VideoBertTaskModel):
    """How important each clip is, from 0 to 1: what a summary of the video is chosen by."""

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.scorer = nn.Linear(config.hidden_size, 1)
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **inputs: Any) -> TaskOutput:
        """`labels` float [B, L]: the importance of the clip there, or -100. Logits [B, L], unsquashed."""
        encoded = self.encoded(input_ids, **inputs)
        logits = self.scorer(self.dropout(encoded.last_hidden_state)).squeeze(-1).float()
        output = answered(logits, encoded)
        if labels is None:
            return output
        is_asked = labels != IGNORED
        found, wanted = logits[is_asked], labels[is_asked]
        losses = F.binary_cross_entropy_with_logits(found, wanted, reduction="none")
        return scored(output, losses, (found > 0) == (wanted > 0.5))


VideoBertForClassification.register_for_auto_class("AutoModelForVideoClassification")  # type: ignore[no-untyped-call]
# Hugging Face has no Auto class of their kind.
for head in (VideoBertForMultipleChoice, VideoBertForRetrieval, VideoBertForClipScoring):
    head.register_for_auto_class("AutoModel")  # type: ignore[no-untyped-call]
if is_installed(__name__):
    AutoModelForVideoClassification.register(VideoBertConfig, VideoBertForClassification)
