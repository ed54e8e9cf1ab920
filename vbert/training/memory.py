"""How many positions a device takes at once."""

import torch

from vbert.model.configuration_videobert import VideoBertConfig

TOKENS_ON_A_CPU = 4096  # what is computed for more of them is out of cache
MASK_SHARE = 0.15
# What a layer keeps of a position for the backward pass is 34 times its width in bytes, in 16 bits and
# without attention weights (Korthikanti et al. 2022, section 4.1); eager autocast keeps casts beside it.
BYTES_PER_WIDTH = 2 * 34
# A logit: in 16 bits, in float32, and the gradients of both.
BYTES_PER_LOGIT = 12
SHARE_OF_MEMORY = 0.5  # the rest is for weights, optimiser and gaps


def fitting_tokens(config: VideoBertConfig, device: torch.device) -> int:
    """Positions of a micro-batch: on a GPU the power of two that half of its memory holds.

    BERT-base takes 0.7 MB a position: 32,768 on 80 GB, 65,536 on an H200's 141.
    """
    if device.type != "cuda":
        return TOKENS_ON_A_CPU
    return tokens_in(torch.cuda.get_device_properties(device).total_memory, config)


def tokens_in(memory_bytes: int, config: VideoBertConfig) -> int:
    """As many positions as fit into a GPU of so much memory, at least one row of 512."""
    layers = BYTES_PER_WIDTH * config.hidden_size * config.num_hidden_layers
    head = BYTES_PER_LOGIT * MASK_SHARE * config.joint_vocab_size
    fitting = int(SHARE_OF_MEMORY * memory_bytes / (layers + head))
    return max(512, 1 << (fitting.bit_length() - 1)) if fitting else 512
