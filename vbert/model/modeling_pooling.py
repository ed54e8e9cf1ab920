"""States of sequences as one state each, where rows hold several.

Shapes: B rows, L positions a row, D hidden size, S sequences of the whole batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def sequence_numbers(input_ids: Tensor, *, attention_mask: Tensor | None) -> Tensor:
    """Int64 [B, L] of rows that are a sequence each: the row's number, -1 where `attention_mask` is 0."""
    rows = torch.arange(len(input_ids), device=input_ids.device)[:, None].expand_as(input_ids)
    return rows if attention_mask is None else rows.masked_fill(attention_mask == 0, -1)


def means(hidden: Tensor, sequence_ids: Tensor, where: Tensor, num_sequences: int) -> Tensor:
    """[S, D]: the mean over some positions, bool [B, L], of each sequence; zeros where it has none."""
    owners = sequence_ids[where]
    sums = hidden.new_zeros(num_sequences, hidden.shape[-1]).index_add(0, owners, hidden[where])
    counts = torch.bincount(owners, minlength=num_sequences).clamp(min=1)
    return sums / counts[:, None].to(sums)


def firsts(hidden: Tensor, sequence_ids: Tensor, num_sequences: int) -> Tensor:
    """[S, D]: the state at the [CLS] of each sequence."""
    before = F.pad(sequence_ids, (1, 0), value=-1)[:, :-1]
    is_first = (sequence_ids != before) & (sequence_ids >= 0)
    empty = hidden.new_zeros(num_sequences, hidden.shape[-1])
    return empty.index_copy(0, sequence_ids[is_first], hidden[is_first])


def means_from(hidden: Tensor, position_ids: Tensor, starts: Tensor) -> Tensor:
    """Float32 [..., D]: the means over the sequences that begin at `starts` int64 [...], counted row by row.

    Sequences are told by their positions [B, L], which begin again at 0. All shapes are known in advance, so
    that no device is waited for.
    """
    sequences = (position_ids == 0).flatten().cumsum(0) - 1
    states = hidden.flatten(0, 1).float()
    sums = torch.zeros_like(states).index_add(0, sequences, states)
    lengths = states.new_zeros(len(states)).index_add(0, sequences, states.new_ones(len(states)))
    wanted = sequences[starts]
    return sums[wanted] / lengths[wanted][..., None]
