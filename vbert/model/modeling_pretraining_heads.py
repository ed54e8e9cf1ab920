"""What pretraining predicts from the encoder's states.

Shapes: B rows, L positions a row, D hidden size, V joint vocabulary, P pairs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertPredictionHeadTransform

from .configuration_videobert import VideoBertConfig
from .modeling_contrast import PairContrast
from .modeling_embeddings import VideoBertEmbeddings


class VideoBertPredictionHead(nn.Module):
    """BERT's prediction head over the joint vocabulary; its weights are the embeddings' own."""

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.visual_bias = nn.Parameter(torch.zeros(1 + config.num_visual_tokens))

    def forward(self, hidden: Tensor, embeddings: VideoBertEmbeddings) -> Tensor:
        """Hidden states [..., D] -> logits [..., V]."""
        states = self.transform(hidden)
        words = F.linear(states, embeddings.word_embeddings.weight, self.bias)
        visual = F.linear(states, embeddings.visual_embeddings.weight, self.visual_bias)
        return torch.cat([words, visual], dim=-1)

    def resize(self, num_word_pieces: int) -> None:
        """Biases for another number of word pieces; new ones are 0."""
        kept = self.bias.detach()[:num_word_pieces]
        bias = F.pad(kept, (0, num_word_pieces - len(kept)))
        self.bias = nn.Parameter(bias, requires_grad=self.bias.requires_grad)


class VideoBertContrastHead(nn.Module):
    """Vectors of texts and of videos that were encoded apart, and what tells which belong together.

    Of a sequence it takes the mean state, in which its words or clips are from the first step on: what [CLS]
    has of them must be learned first.
    """

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__()
        self.text_projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.video_projection = nn.Linear(config.hidden_size, config.hidden_size)
        self.pairs = PairContrast(config)

    def embed(self, means: Tensor, is_video: Tensor) -> Tensor:
        """Mean states [..., D] as vectors of length 1; `is_video` bool [...] says of which sequences."""
        texts, videos = self.text_projection(means), self.video_projection(means)
        return F.normalize(torch.where(is_video[..., None], videos, texts).float(), dim=-1)

    def forward(self, means: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What PairContrast says of the mean states [2, P, D] of texts and of videos."""
        texts = F.normalize(self.text_projection(means[0]).float(), dim=-1)
        videos = F.normalize(self.video_projection(means[1]).float(), dim=-1)
        found: tuple[Tensor, Tensor, Tensor] = self.pairs(texts, videos, numbers)
        return found


class VideoBertHeads(nn.Module):
    """What pretraining predicts from the encoder's states."""

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__()
        self.predictions = VideoBertPredictionHead(config)
        self.alignment = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size), nn.Tanh(), nn.Linear(config.hidden_size, 2)
        )
        self.features = (
            None
            if config.visual_feature_dim is None
            else nn.Linear(config.hidden_size, config.visual_feature_dim)
        )
        self.contrast = None if config.contrastive_loss_weight == 0 else VideoBertContrastHead(config)
