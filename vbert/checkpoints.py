"""A checkpoint: a folder that `from_pretrained` opens, and what it takes to go on training from it.

    config.json, model.safetensors, tokenizer.json   the model and its words
    optimizer.safetensors                            AdamW's moments, named by parameter
    progress.json                                    step, place in the data, options

Tensors are safetensors, so that opening a checkpoint runs no code. They are whole, not sharded: a run may go
on with another number of workers, or with FSDP instead of DDP. Randomness needs no state: it is seeded by the
step (see pretrain.py).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from vbert.encoders import quiet_transformers
from vbert.training import unwrapped

OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
TOKENIZER = "tokenizer.json"
WHOLE_ON_RANK_0 = StateDictOptions(full_state_dict=True, cpu_offload=True)
STATE = "state."


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
    moments = _flat_state(model, optimizer, WHOLE_ON_RANK_0)
    if dist.is_initialized() and dist.get_rank() != 0:
        return
    with quiet_transformers():
        unwrapped(model).save_pretrained(folder, state_dict=weights)
    (folder / TOKENIZER).write_text(tokenizer_json)
    tensors = {name: value.contiguous() for name, value in moments.items() if name.startswith(STATE)}
    save_file(tensors, folder / OPTIMIZER)
    (folder / PROGRESS).write_text(json.dumps(progress, indent=2))


def load_optimizer(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give the optimiser the checkpoint's moments. All workers must call it, each with the folder."""
    whole = StateDictOptions(full_state_dict=True, flatten_optimizer_state_dict=True)
    groups = {
        name: value
        for name, value in _flat_state(model, optimizer, whole).items()
        if not name.startswith(STATE)
    }
    set_optimizer_state_dict(model, optimizer, groups | load_file(folder / OPTIMIZER), options=whole)


def read_progress(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given."""
    progress: dict[str, Any] = json.loads((folder / PROGRESS).read_text())
    return progress


def _flat_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, options: StateDictOptions
) -> dict[str, Any]:
    """`state.<parameter>.exp_avg` and so on, and `param_groups.<parameter>.lr` and so on."""
    flat = StateDictOptions(
        full_state_dict=options.full_state_dict,
        cpu_offload=options.cpu_offload,
        flatten_optimizer_state_dict=True,
    )
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=flat)
    return state
