"""Attention within the sequences of packed rows, by torch's variable-length kernels.

No mask of [L, L] is made, and nothing is computed between sequences.

Shapes: B rows, L positions a row, N heads, H per head, S sequences of the batch, paddings among them.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

VARLEN = "varlen"  # as config._attn_implementation


def varlen_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Query, key and value [B, N, L, H] -> [B, L, N, H], as Hugging Face's attention functions.

    `cu_seq_lens_q` int32 [S + 1] is where each sequence of the B x L positions begins, and where the last
    ends; `max_length_q` is the length of the longest. Both have Hugging Face's names. ValueError without
    them, or with what the kernels do not have: a mask, dropout.
    """
    if cu_seq_lens_q is None or max_length_q is None or attention_mask is not None or dropout:
        raise ValueError("varlen attention takes cu_seq_lens_q and max_length_q, no mask and no dropout")
    batch_size, _, row_length, _ = query.shape
    query, key, value = (states.transpose(1, 2).flatten(0, 1) for states in (query, key, value))
    lengths = (cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)
    mixed: Any = varlen_attn(query, key, value, *lengths, scale=scaling)
    return mixed.unflatten(0, (batch_size, row_length)), None


def can_use_varlen(device: torch.device, dtype: torch.dtype, *, dropout: float) -> bool:
    """Whether torch's kernels compute this: on GPUs from Ampere on, in 16 bits, without dropout."""
    return (
        device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= (8, 0)
        and dtype in (torch.bfloat16, torch.float16)
        and dropout == 0
    )


AttentionInterface.register(VARLEN, varlen_attention)
