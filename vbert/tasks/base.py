"""What every task says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from vbert.documents.sequences import Batch
from vbert.errors import UserError
from vbert.model.encoders import quiet_transformers
from vbert.model.head_features import TOKENS_ALONE, HeadFeatures
from vbert.tasks.examples import InputSequence, Row, sequence_of
from vbert.text.joint_vocabulary import JointVocabulary


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What may be chosen about a task."""

    multi_label: bool = False
    """Classification: an example may have any number of labels, not exactly one."""
    num_answers: int = 1000
    """Question answering: choose among this many of the most frequent answers in training."""
    with_speech: bool = False
    """Give the model also what is said in the interval, where the task has no text of its own."""
    hide_video: bool = False
    """Give the model no clips: how far language alone gets, the baseline of a task with text."""
    decoder_layers: int = 2
    """Captioning: layers of the decoder."""

    def __post_init__(self) -> None:
        if self.num_answers < 1 or self.decoder_layers < 1:
            raise UserError(
                f"--options.num-answers {self.num_answers} and --options.decoder-layers "
                f"{self.decoder_layers} must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What it takes to make batches: a model's ids, and how long a sequence may be."""

    vocabulary: JointVocabulary
    row_length: int


class Task(ABC):
    """A task: the annotations it needs, its model, its batches, its answers and what they are worth.

    `facts` are what it has learned from the training examples besides weights (the list of labels): JSON that
    goes into the checkpoint, so that the task can be opened again from there.
    """

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    """Of annotations that it needs."""

    window_seconds: ClassVar[float | None] = None
    """Length of the windows that a video without annotated times is cut into; None: it is taken whole."""

    compares_examples: ClassVar[bool] = False
    """Whether an example's loss hangs on the batch's others: then no batch is cut into micro-batches."""

    def __init__(self, options: TaskOptions, facts: dict[str, Any]) -> None:
        self.options, self.facts = options, facts

    @classmethod
    @abstractmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """The task that some training examples (rows of EXAMPLES) set."""

    @staticmethod
    @abstractmethod
    def model_class() -> Any:
        """Its Hugging Face class, imported here: jobs that leave the model to their workers start in half the
        time without."""

    @staticmethod
    @abstractmethod
    def has_target(row: Row) -> bool:
        """Whether an annotation says what this task asks for."""

    def is_usable(self, row: Row) -> bool:
        """Whether this model can learn an example, or be right about it."""
        return self.has_target(row)

    @classmethod
    def is_asked(cls, row: Row) -> bool:
        """Whether an annotation is this task's: it has the target, or no question, which is another's."""
        return cls.has_target(row) or not row["question"]

    def check_question(self, row: Row) -> None:
        """UserError if what is asked about is lacking."""
        return

    def grouped(self, rows: Sequence[Row]) -> list[Row]:
        """What an answer is about: an annotation, or what the task puts together from some."""
        return list(rows)

    def training_rows(self, rows: Sequence[Row]) -> list[Row]:
        """What is trained on, of the grouped: several a row where it has several right answers."""
        return list(rows)

    @abstractmethod
    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """What the model takes, without targets."""

    @abstractmethod
    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """What it is to say, by the name of the model's argument."""

    def batch_with_targets(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """Both."""
        batch = self.batch(rows, inputs)
        return batch | self.targets(rows, inputs, batch)

    @abstractmethod
    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """What the model says, one JSON-able dict a row (see readable)."""

    @abstractmethod
    def metrics(self, answers: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
        """How good the answers are, by the names that the field uses."""

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """Metrics of answers that need no video, by a baseline's name."""
        return {}

    def num_targets(self, batch: Batch) -> int:
        """How many losses the model gives for a batch with targets."""
        return len(batch["labels"])

    def model_changes(self) -> dict[str, Any]:
        """Of the pretrained model's configuration."""
        return {}

    def new_model(
        self, folder: str, *, seed: int, dropout: float, features: HeadFeatures = TOKENS_ALONE
    ) -> Any:
        """The pretrained encoder of a checkpoint under a new head, the same for the same seed."""
        with torch.random.fork_rng(), quiet_transformers():
            torch.manual_seed(seed)
            model = self.untrained(folder, hidden_dropout_prob=dropout, **features.model_changes())
        features.standardise(model)
        return model

    def untrained(self, folder: str, **changes: Any) -> Any:
        """The checkpoint's encoder under a new head; `changes` are of the encoder's configuration."""
        return self.model_class().from_pretrained(folder, **changes, **self.model_changes())

    def open_model(self, folder: str) -> Any:
        """A fine-tuned model."""
        with quiet_transformers():
            return self.model_class().from_pretrained(folder)

    def sequence(self, text: str, row: Row, inputs: Inputs) -> InputSequence:
        """One model input of a text and the example's clips; what is said takes the place of no text."""
        if not text and self.options.with_speech:
            text = row["said"]
        words = inputs.vocabulary.encode([text])[0] if text else np.zeros(0, np.int64)
        tokens, features = row["visual_tokens"], row.get("features")
        if self.options.hide_video:
            tokens, features = [], None
        return sequence_of(words, tokens, inputs.vocabulary, row_length=inputs.row_length, features=features)

    def to_json(self) -> dict[str, Any]:
        """What `tasks.open_task` makes it from."""
        return {"name": self.name, "options": asdict(self.options), "facts": self.facts}


class CaptionTask(Task):
    """A task that learns from captions; an example with several is learned once with each."""

    columns = ("captions",)

    @staticmethod
    def has_target(row: Row) -> bool:
        """Whether it has a caption."""
        return bool(row["captions"])

    def training_rows(self, rows: Sequence[Row]) -> list[Row]:
        """One a caption."""
        return [{**row, "captions": [caption]} for row in rows for caption in row["captions"]]


def readable(answer: Row) -> dict[str, Any]:
    """What a user reads of an answer: names that begin with `_` are for metrics."""
    return {name: value for name, value in answer.items() if not name.startswith("_")}


def to_tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Arrays on the device; integers as int64, the others as float32."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in batch.items()}
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor.long()).to(device)
        for name, tensor in tensors.items()
    }
