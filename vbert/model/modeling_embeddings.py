"""Embeddings of the joint id space: word pieces, `[>]`, and visual words or vectors.

Shapes: B rows, L positions a row, D hidden size, F visual feature size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertEmbeddings

from .configuration_videobert import VideoBertConfig


class JointEmbedding(nn.Embedding):
    """Embeddings of the joint id space: BERT's word pieces, whose matrix keeps its shape, then `visual`."""

    def __init__(self, words: nn.Embedding, visual: nn.Embedding) -> None:
        count, width = words.weight.shape
        super().__init__(count, width, padding_idx=words.padding_idx, _weight=words.weight)
        self._visual = (visual,)  # not registered here too: a checkpoint holds it once

    def forward(self, input: Tensor) -> Tensor:
        """Ids int64 [...] of the joint space -> [..., D]."""
        words = super().forward(input.clamp(max=self.num_embeddings - 1))
        visual = self._visual[0]((input - self.num_embeddings).clamp(min=0))
        return torch.where((input >= self.num_embeddings).unsqueeze(-1), visual, words)


class VideoBertEmbeddings(BertEmbeddings):
    """BERT's embeddings, whose `word_embeddings` keep their shape, and rows for `[>]` and visual words."""

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__(config)  # type: ignore[no-untyped-call]
        self.visual_embeddings = nn.Embedding(1 + config.num_visual_tokens, config.hidden_size)
        self.word_embeddings = JointEmbedding(self.word_embeddings, self.visual_embeddings)
        self.visual_projection = (
            None
            if config.visual_feature_dim is None
            else nn.Linear(config.visual_feature_dim, config.hidden_size)
        )

    def embed(self, input_ids: Tensor, visual_features: Tensor | None) -> Tensor:
        """Ids int64 [B, L] of the joint space -> [B, L, D], without positions and token types.

        `visual_features` [B, L, F] go through the linear layer and are added where the id is visual. A masked
        clip has the id of [MASK], so that its features do not count.
        """
        embedded: Tensor = self.word_embeddings(input_ids)
        if self.visual_projection is None or visual_features is None:
            return embedded
        is_visual = (input_ids >= self.word_embeddings.num_embeddings).unsqueeze(-1)
        return embedded + torch.where(is_visual, self.visual_projection(scaled(visual_features)), 0.0)


def scaled(features: Tensor) -> Tensor:
    """Each vector with mean 0 and variance 1: backbones differ in scale, and few have negative values."""
    return F.layer_norm(features, features.shape[-1:])
