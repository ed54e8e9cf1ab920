"""VideoBERT as the encoder of a caption writer (VideoBERT, section 4.6), by Hugging Face's classes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertLMHeadModel,
    EncoderDecoderModel,
    GenerationConfig,
)
from transformers.modeling_outputs import Seq2SeqLMOutput
from transformers.utils.generic import can_return_tuple

from .configuration_videobert import VideoBertCaptioningConfig, VideoBertConfig, is_installed
from .modeling_heads import FreezableEncoder, TaskOutput, VideoBertFusedModel, scored
from .modeling_videobert import IGNORED

MAX_CAPTION_PIECES = 40
NUM_BEAMS = 4


class VideoBertForCaptioning(FreezableEncoder, EncoderDecoderModel):
    """Clips in, words out: a decoder of Transformer layers that attends to the encoder's states.

    `generate` writes captions by beam search.
    """

    config: VideoBertCaptioningConfig
    config_class = VideoBertCaptioningConfig

    def __init__(
        self,
        config: Any,
        encoder: VideoBertFusedModel | None = None,
        decoder: BertLMHeadModel | None = None,
    ) -> None:
        if not isinstance(config, self.config_class):  # Hugging Face opens each copy of code by itself
            config = self.config_class.from_dict(config.to_dict())
        super().__init__(
            config,
            encoder or VideoBertFusedModel(config.encoder),
            decoder or BertLMHeadModel(config.decoder),
        )

    @property
    def bert(self) -> Any:
        """The encoder, by the name that it has under every head."""
        encoder: Any = self.encoder
        return encoder

    def transformers(self) -> list[nn.Module]:
        """The encoder, and the decoder, which is new, too, and learns at the rate of a Transformer."""
        decoder: Any = self.decoder
        return [self.bert, decoder]

    @classmethod
    def on_top_of(
        cls, folder: str, *, num_layers: int, start_id: int, end_id: int, pad_id: int, **changes: Any
    ) -> "VideoBertForCaptioning":
        """A new decoder on a checkpoint's encoder; `changes` are of the encoder's configuration. Its word
        embeddings begin as the encoder's; the layers are new, since layers that read both ways have not
        learned to write."""
        encoder: Any = VideoBertFusedModel.from_pretrained(folder, **changes)
        decoder_config = _decoder_config(encoder.config, num_layers=num_layers)
        decoder = BertLMHeadModel(decoder_config)
        with torch.no_grad():
            decoder.bert.embeddings.word_embeddings.weight.copy_(encoder.embeddings.word_embeddings.weight)
        config = VideoBertCaptioningConfig.from_encoder_decoder_configs(encoder.config, decoder.config)
        config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = start_id, pad_id, end_id
        model = cls(config=config, encoder=encoder, decoder=decoder)
        model.generation_config = GenerationConfig(
            decoder_start_token_id=start_id,
            eos_token_id=end_id,
            pad_token_id=pad_id,
            max_new_tokens=MAX_CAPTION_PIECES,
            num_beams=NUM_BEAMS,
            length_penalty=1.0,
        )
        return model

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        **inputs: Any,
    ) -> Seq2SeqLMOutput | TaskOutput:
        """With `labels`, word pieces int64 [B, T] and -100 behind each caption's end: a loss for each piece,
        given those before it. Logits [B, T, number of word pieces]."""
        if labels is None:
            found: Seq2SeqLMOutput = super().forward(input_ids, decoder_input_ids=decoder_input_ids, **inputs)
            return found
        config: Any = self.config
        if decoder_input_ids is None:
            decoder_input_ids = labels.new_full(labels.shape, config.decoder_start_token_id)
            decoder_input_ids[:, 1:] = labels[:, :-1].masked_fill(
                labels[:, :-1] == IGNORED, config.pad_token_id
            )
        output = super().forward(input_ids, decoder_input_ids=decoder_input_ids, use_cache=False, **inputs)
        is_asked = labels != IGNORED
        wanted, logits = labels[is_asked], output.logits[is_asked].float()
        losses = F.cross_entropy(logits, wanted, reduction="none")
        written = TaskOutput(
            logits=output.logits,
            hidden_states=output.decoder_hidden_states,
            attentions=output.decoder_attentions,
        )
        return scored(written, losses, logits.argmax(-1) == wanted)


def _decoder_config(encoder: VideoBertConfig, *, num_layers: int) -> BertConfig:
    """A decoder as wide as the encoder, over its word pieces."""
    return BertConfig(
        vocab_size=encoder.vocab_size,
        hidden_size=encoder.hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=encoder.num_attention_heads,
        intermediate_size=encoder.intermediate_size,
        max_position_embeddings=encoder.max_position_embeddings,
        hidden_dropout_prob=encoder.hidden_dropout_prob,
        attention_probs_dropout_prob=encoder.attention_probs_dropout_prob,
        is_decoder=True,
        add_cross_attention=True,
    )


VideoBertForCaptioning.register_for_auto_class("AutoModelForSeq2SeqLM")  # type: ignore[no-untyped-call]
if is_installed(__name__):
    AutoModelForSeq2SeqLM.register(VideoBertCaptioningConfig, VideoBertForCaptioning)
