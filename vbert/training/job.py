"""What training workers are told; apart from what they do, so that only workers import the model."""

from dataclasses import dataclass
from typing import Any

from vbert.documents.data_streams import Run
from vbert.documents.shuffle_windows import ShuffleWindowReader
from vbert.model.encoders import ModelConfig
from vbert.model.head_features import HeadFeatures
from vbert.training.optimization import OptimizerConfig, Precision, Strategy

DIVERGED = "diverged.json"  # in a run's output: its workers' word to the driver that they have given up
MAX_SKIPPED_STEPS = 20  # in a row: one bad batch is skipped, a model that has diverged is trained no further


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What every training's workers need to know; the same for all of them."""

    name: str
    """Of the job, for its line of progress."""
    output: str
    optimizer: OptimizerConfig
    num_steps: int
    num_streams: int
    seed: int
    strategy: Strategy
    precision: Precision
    compile: bool
    gradient_checkpointing: bool
    checkpoint_every: int
    log_every: int
    report_to: str
    """Of `reporters_of`."""
    command: str
    """What was asked for, for the model's card."""
    featurizer: str | None
    """Id of what made the features; None where the model to start from does not say."""


@dataclass(frozen=True, kw_only=True)
class PretrainingJob(TrainingJob):
    """And what pretraining's need."""

    vocabulary: str
    partition: str
    reader: ShuffleWindowReader
    runs: tuple[Run, ...]
    validation_ids: frozenset[str]
    version: int
    continuous: bool
    tokens_per_micro_batch: int | None
    model: ModelConfig


@dataclass(frozen=True, kw_only=True)
class FinetuningJob(TrainingJob):
    """And what fine-tuning's need."""

    examples: str
    """Folder of an ExampleStore."""
    task: dict[str, Any]
    """Of Task.to_json."""
    pretrained: str
    """Folder or bucket URL of the checkpoint to start from."""
    vocabulary: str
    """Id of the visual vocabulary that it was trained with."""
    documents_version: int | None
    """Of the table that the examples were made from; None where an older run does not say."""
    features: HeadFeatures
    """What the head sees of clips."""
    freeze_encoder: bool
    head_rate: float
    """Of what is new, as a multiple of the learning rate."""
    batch_size: int
    row_length: int
    dropout: float
