"""Which text belongs to which video of a batch: CLIP's objective (Radford et al. 2021) on vectors.

Shapes: P pairs of this process, N pairs of all processes, D the vectors' size.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration_videobert import VideoBertConfig

NO_PAIR = -100  # the number of a place that is to be filled with nothing
LARGEST_SCALE = 100.0  # of cosines: beyond it training is unstable (section 2.5)


class PairContrast(nn.Module):
    """Each text's video is told from the others and each video's text, at a temperature that is learned.

    In training the others are those of all processes, as many from each, unless `over_processes` is taken
    away; else those of this one.
    """

    over_processes = True

    def __init__(self, config: VideoBertConfig) -> None:
        super().__init__()
        # The logarithm of 1 / temperature; of one dimension, since FSDP shards no scalar.
        self.logit_scale = nn.Parameter(torch.full((1,), -math.log(config.visual_temperature)))

    def logits(self, vectors: Tensor, others: Tensor) -> Tensor:
        """Float32 [n, m] of vectors [n, D] by others [m, D], all of length 1."""
        scale = self.logit_scale.float().exp().clamp(max=LARGEST_SCALE)
        with torch.autocast(vectors.device.type, enabled=False):  # times 100, bfloat16 is off by 0.4
            return scale * vectors.float() @ others.float().T

    def forward(self, texts: Tensor, videos: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [P, N] of texts by videos; losses [2 P] of texts, then of videos; bool [2 P], who is right.

        Text i of [P, D] belongs to video i, all of length 1. Texts of equal `numbers` int64 [P] say the same
        and are not told apart; places of NO_PAIR count nowhere and have the loss 0.
        """
        place = torch.arange(len(numbers), device=numbers.device)
        all_texts, all_videos, all_numbers, own = texts, videos, numbers, place
        if self.training and self.over_processes and dist.is_initialized():
            all_texts, all_videos, all_numbers = _of_all_processes(texts, videos, numbers)
            own = place + dist.get_rank() * len(numbers)
        is_own = own[:, None] == torch.arange(len(all_numbers), device=numbers.device)
        is_none = (numbers[:, None] == all_numbers) | (all_numbers == NO_PAIR)
        logits = self.logits(texts, all_videos)
        both = torch.cat([logits, self.logits(videos, all_texts)])
        labels = own.masked_fill(numbers == NO_PAIR, NO_PAIR)
        apart = both.masked_fill((is_none & ~is_own).repeat(2, 1), -torch.inf)
        labels = labels.repeat(2)
        losses = F.cross_entropy(apart, labels, reduction="none", ignore_index=NO_PAIR)
        return logits, losses, apart.argmax(-1) == labels


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _of_all_processes(texts: Tensor, videos: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of all processes, by their ranks, [N, D] and [N]."""
    vectors: Tensor = _Gather.apply(torch.cat([texts, videos], dim=1))
    all_texts, all_videos = vectors.chunk(2, dim=1)
    return all_texts, all_videos, _gathered(numbers)


def _gathered(values: Tensor) -> Tensor:
    everyones = values.new_empty(dist.get_world_size() * len(values), *values.shape[1:])
    dist.all_gather_single(everyones, values.contiguous())
    return everyones


class _Gather(torch.autograd.Function):
    """All processes' values [n, D] as [N, D]. Each gets the gradients of its own from all of them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.count = len(values)
        return _gathered(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        mine = gradients[0].new_empty(ctx.count, *gradients[0].shape[1:])
        dist.reduce_scatter_single(mine, gradients[0].contiguous())
        return mine


def filled_up(vectors: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors [n, D] and their numbers [n], filled up to as many as the process with most has."""
    if not dist.is_initialized():
        return vectors, numbers
    most = torch.tensor(len(numbers), device=vectors.device)
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    missing = int(most) - len(numbers)
    return F.pad(vectors, (0, 0, 0, missing)), F.pad(numbers, (0, missing), value=NO_PAIR)
