"""The tasks by their names, and their fine-tuned models."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from vbert.errors import UserError
from vbert.model.checkpoint_files import PROGRESS, local_folder, read_json, read_vocabulary
from vbert.model.head_features import head_input_of
from vbert.tasks.base import Inputs, Task, TaskOptions, to_tensors
from vbert.tasks.captioning import Captioning
from vbert.tasks.classification import Classification
from vbert.tasks.examples import Row
from vbert.tasks.question_answering import MultipleChoice, QuestionAnswering
from vbert.tasks.retrieval import Retrieval
from vbert.tasks.summarization import Summarization

TaskName = Literal[
    "classification", "question_answering", "multiple_choice", "captioning", "summarization", "retrieval"
]
TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (Classification, QuestionAnswering, MultipleChoice, Captioning, Summarization, Retrieval)
}


class TunedModel:
    """A fine-tuned model that is ready to answer, as finetune leaves it in a folder or bucket."""

    def __init__(self, uri: str, *, device: str | None = None, task: Task | None = None) -> None:
        """On a GPU, if there is one; `task` is what a pretrained model knows of itself. UserError if there is
        no model, or one that is only pretrained."""
        facts = read_json(uri, PROGRESS)
        if task is None and "task" not in facts:
            raise only_pretrained(uri)
        self.task = task or open_task(facts["task"])
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        with local_folder(uri) as folder:
            self.model: Any = self.task.open_model(str(folder)).to(self.device).eval()
            config = self.model.config
            self.sees_features = head_input_of(config.to_dict()) != "tokens"
            row_length = facts.get("row_length") or config.max_position_embeddings
            self.inputs = Inputs(vocabulary=read_vocabulary(folder), row_length=row_length)

    @torch.inference_mode()
    def answers(self, rows: Sequence[Row], *, batch_size: int) -> list[dict[str, Any]]:
        """What it says of each (see Task.answers)."""
        found: list[dict[str, Any]] = []
        for first in range(0, len(rows), batch_size):
            mine = rows[first : first + batch_size]
            batch = to_tensors(self.task.batch(mine, self.inputs), self.device)
            found += self.task.answers(self.model, batch, mine, self.inputs)
        return found


def only_pretrained(uri: str) -> UserError:
    """The error for a model that nothing can be asked of yet."""
    return UserError(f"{uri}: a pretrained model and not a fine-tuned one; run finetune first")


def open_task(saved: Mapping[str, Any]) -> Task:
    """The task of `Task.to_json`."""
    return TASKS[saved["name"]](TaskOptions(**saved["options"]), saved["facts"])
