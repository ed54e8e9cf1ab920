"""Write a checkpoint and go on from it, or open it to use the model. checkpoint_files.py has the layout."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from transformers import PreTrainedTokenizerFast

from vbert.model.checkpoint_files import (
    CONFIG,
    OPTIMIZER,
    PROGRESS,
    TOKENIZER,
    local_folder,
    no_checkpoint,
    read_progress,
    read_vocabulary,
)
from vbert.model.configuration_videobert import VideoBertConfig
from vbert.model.encoders import quiet_transformers
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.model.processing_videobert import VideoBertProcessor
from vbert.text.joint_vocabulary import SPECIAL, JointVocabulary
from vbert.training.model_card import CARD, model_card
from vbert.training.parallel import as_itself, rank

WHOLE_ON_RANK_0 = StateDictOptions(full_state_dict=True, cpu_offload=True)


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    tokenizer_json: str,
    progress: Mapping[str, Any],
) -> None:
    """Write a checkpoint. All workers must call it; the first one writes."""
    weights = get_model_state_dict(model, options=WHOLE_ON_RANK_0)
    state = get_optimizer_state_dict(model, optimizer, options=WHOLE_ON_RANK_0)
    if rank() != 0:
        return
    with quiet_transformers(), as_itself(model) as own:
        own.save_pretrained(folder, state_dict=weights)
        config = own.bert.config
        if config.visual_feature_dim is None:
            make_processor(config, tokenizer_json=tokenizer_json, progress=progress).save_pretrained(folder)
    (folder / TOKENIZER).write_text(tokenizer_json)
    (folder / CARD).write_text(model_card(progress))
    moments: dict[str, dict[str, torch.Tensor]] = state["state"]  # type: ignore[assignment]
    tensors = {
        f"{parameter}.{name}": value.contiguous()
        for parameter, mine in moments.items()
        for name, value in mine.items()
    }
    save_file(tensors, folder / OPTIMIZER)
    (folder / PROGRESS).write_text(json.dumps(progress, indent=2))


def make_processor(
    config: VideoBertConfig, *, tokenizer_json: str, progress: Mapping[str, Any]
) -> VideoBertProcessor:
    """What makes a model's inputs, without its visual vocabulary, which is laid beside it."""
    names = {f"{name[1:-1].lower()}_token": name for name in (*SPECIAL, "[UNK]")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tokenizer_json), **names)
    return VideoBertProcessor(
        tokenizer,
        num_word_pieces=config.vocab_size,
        num_visual_tokens=config.num_visual_tokens,
        max_length=progress.get("row_length", config.max_position_embeddings),
        visual_vocabulary=progress.get("vocabulary"),
        head_feature_dim=config.head_feature_dim,
    )


def load_optimizer(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimiser the checkpoint's moments. All workers must call it, each with the folder."""
    whole = StateDictOptions(full_state_dict=True)
    state = get_optimizer_state_dict(model, optimizer, options=whole)
    moments: dict[str, Any] = {}
    for key, value in load_file(folder / OPTIMIZER).items():
        parameter, _, name = key.rpartition(".")
        moments.setdefault(parameter, {})[name] = value
    set_optimizer_state_dict(model, optimizer, {**state, "state": moments}, options=whole)


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A model and what is needed to use it."""

    model: VideoBertForPreTraining
    vocabulary: JointVocabulary
    progress: dict[str, Any]


def load_pretrained(uri: str) -> Pretrained:
    """Open a checkpoint in a folder or bucket. UserError if there is none."""
    with local_folder(uri) as folder:
        missing = [name for name in (PROGRESS, TOKENIZER, CONFIG) if not (folder / name).is_file()]
        if missing:
            raise no_checkpoint(uri, missing=missing[0])
        with quiet_transformers():
            model = VideoBertForPreTraining.from_pretrained(folder)
        return Pretrained(model=model, vocabulary=read_vocabulary(folder), progress=read_progress(folder))


def ready_to_ask(uri: str) -> Pretrained:
    """What `load_pretrained` opens, in evaluation mode, on a GPU if there is one."""
    pretrained = load_pretrained(uri)
    model: Any = pretrained.model
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return pretrained
