"""VideoBertConfig: a BERT configuration and the size of the visual vocabulary; that of a caption writer.

`save_pretrained` copies this module and those of the models into each checkpoint, so that they open without
vbert: they import torch, transformers and each other, and nothing else.
"""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, BertConfig, EncoderDecoderConfig
from transformers.configuration_utils import SubConfigSpec

# What a checkpoint's folder is opened by where vbert is not installed.
AUTO_MAP = {
    "AutoModel": "modeling_videobert.VideoBertModel",
    "AutoModelForPreTraining": "modeling_videobert.VideoBertForPreTraining",
    "AutoModelForVideoClassification": "modeling_heads.VideoBertForClassification",
}


@strict
class VideoBertConfig(BertConfig):
    """Everything of `BertConfig`, where `vocab_size` goes on counting the text's word pieces alone.

    The joint id space is: 0 .. vocab_size - 1 the text's, vocab_size the separator `[>]`, and from
    vocab_size + 1 the `num_visual_tokens` leaves of the visual vocabulary (VideoBERT, section 3.2, appends
    them to BERT's vocabulary in the same way).

    With a `visual_feature_dim` the model takes continuous features instead (see VideoBertForPreTraining);
    then `num_visual_tokens` is 1: the id that marks their places.

    `head_features` is what a fine-tuned head sees of clips (see VideoBertFusedModel): the encoder's states,
    their continuous features of `head_feature_dim` values, or both.
    """

    model_type = "videobert"
    # What a head's output has beside its logits.
    keys_to_ignore_at_inference = ["losses", "is_right"]  # noqa: RUF012 (Hugging Face's own)

    num_visual_tokens: int = 20_736  # 12^4, the paper's
    visual_feature_dim: int | None = None
    alignment_loss_weight: float = 1.0
    contrastive_loss_weight: float = 0.0  # of texts and videos encoded apart; 0: there is no such head
    visual_temperature: float = 0.1  # of contrastive objectives: on continuous features; the first on pairs
    head_features: Literal["fused", "tokens", "features"] = "tokens"
    head_feature_dim: int | None = None

    @property
    def joint_vocab_size(self) -> int:
        """How many ids there are in all."""
        return self.vocab_size + 1 + self.num_visual_tokens

    @property
    def num_frames(self) -> int:
        """How many clips a sequence has room for, by the name that Hugging Face's video pipeline asks for."""
        return self.max_position_embeddings - 3


def from_bert_config(bert: BertConfig, **changes: Any) -> VideoBertConfig:
    """BERT's sizes with the visual vocabulary's (`num_visual_tokens=...`) and whatever else is to change."""
    kept = {key: value for key, value in bert.to_dict().items() if key not in ("model_type", "architectures")}
    return VideoBertConfig(**(kept | changes))


@strict
class VideoBertCaptioningConfig(EncoderDecoderConfig):
    """VideoBERT as the encoder, BERT's layers as the decoder."""

    model_type = "videobert-captioning"
    sub_configs_defaults = {  # noqa: RUF012 (Hugging Face's own)
        "encoder": SubConfigSpec(config_class=VideoBertConfig, model_type="videobert"),
        "decoder": SubConfigSpec(
            config_class=BertConfig,
            model_type="bert",
            init_kwargs={"is_decoder": True, "add_cross_attention": True},
        ),
    }


def is_installed(module: str) -> bool:
    """Whether a module is vbert's own, and not the copy in a checkpoint. A copy registers nothing with
    Hugging Face's Auto classes: it would take the place of the next checkpoint's code."""
    return module.startswith("vbert.")


VideoBertConfig.register_for_auto_class()  # type: ignore[no-untyped-call]
VideoBertCaptioningConfig.register_for_auto_class()  # type: ignore[no-untyped-call]
if is_installed(__name__):
    AutoConfig.register(VideoBertConfig.model_type, VideoBertConfig)
    AutoConfig.register(VideoBertCaptioningConfig.model_type, VideoBertCaptioningConfig)
