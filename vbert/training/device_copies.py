"""Copies to a GPU that do not wait for it, nor it for them."""

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor


def to_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The tensors there; to a GPU from pinned memory, on a stream beside the one that computes.

    No step waits for the device, so that the CPU is ahead of it: a micro-batch is copied while the step
    before is computed.
    """
    if device.type != "cuda":
        return {name: tensor.to(device) for name, tensor in tensors.items()}
    computing, copying = torch.cuda.current_stream(device), _copy_stream(device)
    with torch.cuda.stream(copying):
        there = {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()}
    computing.wait_stream(copying)
    for tensor in there.values():
        tensor.record_stream(computing)  # whose memory is not to be used again before that stream is done
    return there


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
