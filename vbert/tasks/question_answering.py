"""Question answering about a video: with an answer of one's own, or one of some options."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from vbert.documents.sequences import Batch
from vbert.errors import UserError
from vbert.tasks.base import Inputs, Task, TaskOptions
from vbert.tasks.examples import Row, packed_inputs, padded
from vbert.tasks.metrics import shares_by_kind


class QuestionTask(Task):
    """A task whose answers are right or wrong."""

    def metrics(self, answers: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
        """The share of right answers, in all and by type of question."""
        is_right = [answer["answer"] == row["answer"] for answer, row in zip(answers, rows, strict=True)]
        return shares_by_kind(is_right, [row["question_type"] for row in rows])


class QuestionAnswering(QuestionTask):
    """Open-ended: one of the answers that are most frequent in training (ActivityNet-QA's protocol).

    An answer that training never gave cannot be right, and counts as wrong.
    """

    name = "question_answering"
    columns = ("question", "answer")

    def __init__(self, options: TaskOptions, facts: dict[str, Any]) -> None:
        super().__init__(options, facts)
        self.known: list[str] = facts["answers"]
        self.numbers = {answer: number for number, answer in enumerate(self.known)}

    @staticmethod
    def model_class() -> Any:
        """A class is an answer."""
        from vbert.model.modeling_heads import VideoBertForClassification

        return VideoBertForClassification

    @classmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """Knows the most frequent answers, the most frequent first, and the most frequent of each kind."""
        counts = Counter(row["answer"] for row in rows)
        by_kind: dict[str, Counter[str]] = {}
        for row in rows:
            by_kind.setdefault(row["question_type"] or "", Counter())[row["answer"]] += 1
        return cls(
            options,
            {
                "answers": [answer for answer, _ in counts.most_common(options.num_answers)],
                "answer_by_kind": {kind: most.most_common(1)[0][0] for kind, most in sorted(by_kind.items())},
            },
        )

    @staticmethod
    def has_target(row: Row) -> bool:
        """Whether it asks and answers."""
        return row["question"] is not None and row["answer"] is not None

    @classmethod
    def is_asked(cls, row: Row) -> bool:
        """Any question is."""
        return bool(row["question"])

    def check_question(self, row: Row) -> None:
        """It answers a question."""
        if not self.is_asked(row):
            raise UserError("this model answers questions: give one")

    def is_usable(self, row: Row) -> bool:
        """Whether training can teach the answer."""
        return row["question"] is not None and row["answer"] in self.numbers

    def model_changes(self) -> dict[str, Any]:
        """A row of the classifier for each answer."""
        return {
            "id2label": dict(enumerate(self.known)),
            "label2id": self.numbers,
            "problem_type": "single_label_classification",
        }

    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """The question, then the clips."""
        sequences = [self.sequence(row["question"], row, inputs) for row in rows]
        return packed_inputs(sequences, inputs.vocabulary, row_length=inputs.row_length)

    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """Numbers of answers int64 [n]."""
        return {"labels": np.array([self.numbers[row["answer"]] for row in rows], np.int64)}

    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """The likeliest answer and its probability."""
        chances = model(**batch).logits.softmax(-1)
        values, places = chances.max(-1)
        return [
            {"answer": self.known[place], "probability": round(value, 6)}
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
        ]

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """Always the most frequent answer, and that of the question's type."""
        most, by_kind = self.known[0], self.facts["answer_by_kind"]
        of_kind = [{"answer": by_kind.get(row["question_type"] or "", most)} for row in rows]
        return {
            "majority": self.metrics([{"answer": most}] * len(rows), rows),
            "majority of the type": self.metrics(of_kind, rows),
        }


class MultipleChoice(QuestionTask):
    """The option that goes best with question and video."""

    name = "multiple_choice"
    columns = ("question", "answer", "options")

    @staticmethod
    def model_class() -> Any:
        """A score for each option."""
        from vbert.model.modeling_heads import VideoBertForMultipleChoice

        return VideoBertForMultipleChoice

    @classmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """It learns nothing but weights."""
        return cls(options, {})

    @staticmethod
    def has_target(row: Row) -> bool:
        """Whether there is something to choose, and the answer among it."""
        return row["question"] is not None and row["answer"] in (row["options"] or ())

    @classmethod
    def is_asked(cls, row: Row) -> bool:
        """A question with options is."""
        return bool(row["question"] and row["options"])

    def check_question(self, row: Row) -> None:
        """It chooses among options."""
        if not self.is_asked(row):
            raise UserError("this model chooses among answers: give a question and options")

    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """For each option a sequence of question, option and clips."""
        sequences = [
            self.sequence(f"{row['question']} {option}", row, inputs)
            for row in rows
            for option in row["options"]
        ]
        ends = np.cumsum([len(row["options"]) for row in rows])
        numbers = [range(end - len(row["options"]), end) for end, row in zip(ends, rows, strict=True)]
        packed = packed_inputs(sequences, inputs.vocabulary, row_length=inputs.row_length)
        return packed | {"options": padded(numbers, fill=-1)}

    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """The place of the right option int64 [n]."""
        return {"labels": np.array([row["options"].index(row["answer"]) for row in rows], np.int64)}

    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """The chosen option."""
        places = model(**batch).logits.argmax(-1).tolist()
        return [{"answer": row["options"][place]} for place, row in zip(places, rows, strict=True)]

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """What choosing at random gives."""
        return {"chance": {"accuracy": float(np.mean([1 / len(row["options"]) for row in rows]))}}
