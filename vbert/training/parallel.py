"""Several processes that train one model: DDP or FSDP2, and sums over them. Without a process group: one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from vbert.training.optimization import Strategy


def parallelize(
    model: nn.Module, strategy: Strategy, *, layers: nn.ModuleList, in_bf16: bool = False
) -> nn.Module:
    """Wrap for the process group there is: DDP copies the model, FSDP2 shards it layer by layer.

    `in_bf16` has FSDP2 gather weights in bfloat16, half the bytes; its shards, which the optimiser steps on,
    and sums of gradients stay float32. What else is computed in bfloat16, autocast says, as with DDP.
    """
    if not dist.is_initialized():
        return model
    if strategy == "ddp":
        return DistributedDataParallel(model, forward_sync_buffers=False)  # they are constants
    policy = MixedPrecisionPolicy()
    if in_bf16:
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    for layer in layers:
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    return model


@contextmanager
def gradient_sync(model: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Whether the backward pass inside exchanges gradients: only the last of a step's has to."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(enabled)
        yield
    elif isinstance(model, DistributedDataParallel) and not enabled:
        with model.no_sync():
            yield
    else:
        yield


def missing_passes(model: nn.Module, *, have: int, wanted: int) -> int:
    """How many forward passes this worker would make too few: FSDP exchanges weights in each."""
    return max(0, wanted - have) if isinstance(model, FSDPModule) else 0


def unwrapped(model: nn.Module) -> Any:
    """The model itself, from under DDP."""
    return model.module if isinstance(model, DistributedDataParallel) else model


@contextmanager
def as_itself(model: nn.Module) -> Iterator[Any]:
    """The model itself, of its own class again: FSDP2 gives it one of torch's, and Hugging Face saves a model
    with the code and the name of its class."""
    own = unwrapped(model)
    given = type(own)
    own.__class__ = next(found for found in given.__mro__ if not issubclass(found, FSDPModule))
    try:
        yield own
    finally:
        own.__class__ = given


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def sum_over_workers(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values
