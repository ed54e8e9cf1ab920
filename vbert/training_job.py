"""What a pretraining worker is told; apart from what it does, so that only workers import the model."""

from dataclasses import dataclass

from vbert.encoders import ModelConfig
from vbert.lanes import Run
from vbert.training import OptimizerConfig, Precision, Strategy
from vbert.windows import WindowReader


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """All that a worker needs to know; the same for all of them."""

    output: str
    vocabulary: str
    partition: str
    reader: WindowReader
    runs: tuple[Run, ...]
    validation_ids: frozenset[str]
    version: int
    continuous: bool
    model: ModelConfig
    optimizer: OptimizerConfig
    num_steps: int
    num_lanes: int
    seed: int
    strategy: Strategy
    precision: Precision
    compile: bool
    gradient_checkpointing: bool
    checkpoint_every: int
    log_every: int
