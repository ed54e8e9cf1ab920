"""Classification: which label an interval of video has, or which of several."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from vbert.documents.sequences import Batch
from vbert.errors import UserError
from vbert.tasks.base import Inputs, Task, TaskOptions
from vbert.tasks.examples import Row, packed_inputs
from vbert.tasks.metrics import mean_average_precision, ranks, top_k

ANSWERS_A_ROW = 5


class Classification(Task):
    """The labels are those of the training examples."""

    name = "classification"
    columns = ("labels",)

    def __init__(self, options: TaskOptions, facts: dict[str, Any]) -> None:
        super().__init__(options, facts)
        self.labels: list[str] = facts["labels"]
        self.numbers = {label: number for number, label in enumerate(self.labels)}

    @staticmethod
    def model_class() -> Any:
        """A class is a label."""
        from vbert.model.modeling_heads import VideoBertForClassification

        return VideoBertForClassification

    @classmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """UserError if examples have several labels and only one was expected."""
        several = next((row for row in rows if len(row["labels"]) > 1), None)
        if several and not options.multi_label:
            raise UserError(
                f"an example of video {several['video_id']} has the labels {', '.join(several['labels'])}: "
                "with several an example, say --options.multi-label"
            )
        counts = Counter(label for row in rows for label in row["labels"])
        return cls(options, {"labels": sorted(counts), "counts": dict(sorted(counts.items()))})

    @staticmethod
    def has_target(row: Row) -> bool:
        """Whether it has a label."""
        return bool(row["labels"])

    def is_usable(self, row: Row) -> bool:
        """Whether its labels occur in training; of several, one of them."""
        return any(label in self.numbers for label in row["labels"] or ())

    def model_changes(self) -> dict[str, Any]:
        """A row of the classifier for each label."""
        kind = "multi_label_classification" if self.options.multi_label else "single_label_classification"
        return {"id2label": dict(enumerate(self.labels)), "label2id": self.numbers, "problem_type": kind}

    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """The clips, and with `with_speech` what is said."""
        sequences = [self.sequence("", row, inputs) for row in rows]
        return packed_inputs(sequences, inputs.vocabulary, row_length=inputs.row_length)

    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """Numbers of labels int64 [n], or float [n, num_labels] of 0 and 1."""
        if self.options.multi_label:
            return {"labels": self._truth(rows).astype(np.float32)}
        return {"labels": np.array([self.numbers[row["labels"][0]] for row in rows], np.int64)}

    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """The likeliest labels with their probabilities."""
        logits = model(**batch).logits
        chances = (logits.sigmoid() if self.options.multi_label else logits.softmax(-1)).cpu().numpy()
        return [self._answer(row) for row in chances]

    def _answer(self, chances: np.ndarray) -> dict[str, Any]:
        best = np.argsort(-chances, kind="stable")[:ANSWERS_A_ROW]
        return {
            "labels": [self.labels[at] for at in best],
            "probabilities": [round(float(chances[at]), 6) for at in best],
            "_scores": chances.tolist(),
        }

    def metrics(self, answers: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
        """Top-1 and top-5, or of several labels mAP and how often the first is one of them."""
        scores = np.array([answer["_scores"] for answer in answers])
        truth = self._truth(rows)
        found = {"mAP": mean_average_precision(scores, truth)}
        if self.options.multi_label:
            best = scores.argmax(1)
            return found | {"first label right": float(truth[np.arange(len(best)), best].mean())}
        places = ranks(scores, truth.argmax(1))
        places[~truth.any(1)] = len(self.labels) + 1  # a label that training never had cannot be found
        return {"top-1": top_k(places, 1), "top-5": top_k(places, 5)} | found

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """Always the labels that are most frequent in training."""
        counts = np.array([self.facts["counts"][label] for label in self.labels], np.float64)
        scores = (counts / counts.sum()).tolist()
        return {"majority": self.metrics([{"_scores": scores}] * len(rows), rows)}

    def _truth(self, rows: Sequence[Row]) -> np.ndarray:
        truth = np.zeros((len(rows), len(self.labels)), bool)
        for at, row in enumerate(rows):
            truth[at, [self.numbers[label] for label in row["labels"] if label in self.numbers]] = True
        return truth
