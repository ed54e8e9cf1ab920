"""What every training of this project shares: optimiser, schedule, precision, and its speed in metrics."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vbert.errors import UserError

Strategy = Literal["ddp", "fsdp"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a linear decay to zero, as BERT's."""

    learning_rate: float = 1e-4
    """The highest, at the end of the warm-up."""
    warmup_share: float = 0.1
    """Share of all steps in which the rate rises from zero."""
    weight_decay: float = 0.01
    """Of matrices; biases and layer norms have none."""
    beta2: float = 0.98
    """Of AdamW; 0.98 forgets old gradients in 50 steps where 0.999 takes 1,000."""
    max_gradient_norm: float = 1.0
    """Longer gradients are cut to this length."""

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.max_gradient_norm > 0 and 0 <= self.warmup_share < 1):
            raise UserError(
                f"--optimizer.learning-rate {self.learning_rate} and max-gradient-norm "
                f"{self.max_gradient_norm} must be above 0, warmup-share {self.warmup_share} in [0, 1)"
            )
        if not (self.weight_decay >= 0 and 0 <= self.beta2 < 1):
            raise UserError(
                f"--optimizer.weight-decay {self.weight_decay} must not be negative, beta2 {self.beta2} "
                "in [0, 1)"
            )


def make_optimizer(
    model: nn.Module, config: OptimizerConfig, *, head: Iterable[nn.Parameter] = (), head_rate: float = 1.0
) -> torch.optim.AdamW:
    """AdamW over matrices, which decay, and vectors, which do not; those of `head`, if there are any, in
    groups of their own, whose rate is `head_rate` times that of the others."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fast = {id(parameter) for parameter in head}
    groups = [
        {"params": params, "weight_decay": decay, "rate": rate}
        for rate, among in (
            (1.0, [p for p in trained if id(p) not in fast]),
            (head_rate, [p for p in trained if id(p) in fast]),
        )
        if among
        for decay, params in (
            (config.weight_decay, [p for p in among if p.dim() >= 2]),
            (0.0, [p for p in among if p.dim() < 2]),
        )
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), fused=True)


def learning_rate_at(step: int, config: OptimizerConfig, *, num_steps: int) -> float:
    """The rate of a step counted from 0: up to the highest in the warm-up, then down to zero at the end."""
    warmup_steps = max(1, round(config.warmup_share * num_steps))
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    return config.learning_rate * max(0.0, (num_steps - step) / max(1, num_steps - warmup_steps))


def update(
    model: nn.Module, optimizer: torch.optim.Optimizer, config: OptimizerConfig, *, step: int, num_steps: int
) -> Tensor:
    """Clip, take one step of a fused optimiser, forget the gradients; the gradient's length [] before that.

    Where it is not finite, on all workers alike, no step is taken: one such would be the end of the weights.
    The device decides that, as it does for gradient scaling (torch.amp.GradScaler), and is not waited for.
    """
    norm: Any = nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm)
    length: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    for group in optimizer.param_groups:
        group["lr"] = group.get("rate", 1.0) * learning_rate_at(step, config, num_steps=num_steps)
    fused: Any = optimizer
    fused.found_inf = (~length.isfinite()).float()
    optimizer.step()
    optimizer.zero_grad()
    return length


def uses_bf16(device: torch.device, precision: Precision) -> bool:
    """Whether matrix products are of bfloat16: "auto" is that on a GPU, and float32 on a CPU."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Bfloat16 where `uses_bf16`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=uses_bf16(device, precision))


def training_flops(
    *,
    encoder_size: int,
    num_layers: int,
    hidden_size: int,
    vocabulary_size: int,
    num_positions: float,
    row_length: int,
    num_masked: float,
) -> float:
    """Operations of forward and backward passes, of useful and other positions alike.

    6 a weight and position (2 forward, 4 backward) in the encoder and, at masked positions, in the head;
    and 12 x layers x hidden size x row length a position for attention (Chowdhery et al. 2022, appendix B).
    Recomputation by gradient checkpointing does not count.
    """
    head = hidden_size * (hidden_size + vocabulary_size)
    attention = 12 * num_layers * hidden_size * row_length
    return (6 * encoder_size + attention) * num_positions + 6 * head * num_masked


# Dense bfloat16 operations a second, from the makers' data sheets.
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10G": 70e12}


def peak_flops(device: torch.device, precision: Precision) -> float:
    """What MFU is measured against: a GPU's data sheet, else a large matrix product on this device now."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = [flops for key, flops in PEAK_FLOPS.items() if key in name]
        if known:
            return known[0]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return matrix_product_flops(device, dtype, size=1536)


def matrix_product_flops(device: torch.device, dtype: torch.dtype, *, size: int) -> float:
    """Operations a second of the fastest of five products of two [size, size]."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    rates = []
    for _ in range(5):
        start_seconds = time.perf_counter()
        float((left @ right)[0, 0])  # reading a value waits for the device
        rates.append(2 * size**3 / (time.perf_counter() - start_seconds))
    return max(rates)
