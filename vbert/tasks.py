"""The tasks by their names."""

from collections.abc import Mapping
from typing import Any, Literal

from vbert.captioning import Captioning
from vbert.classification import Classification
from vbert.question_answering import MultipleChoice, QuestionAnswering
from vbert.retrieval import Retrieval
from vbert.summarization import Summarization
from vbert.task import Task, TaskOptions

TaskName = Literal[
    "classification", "question_answering", "multiple_choice", "captioning", "summarization", "retrieval"
]
TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (Classification, QuestionAnswering, MultipleChoice, Captioning, Summarization, Retrieval)
}


def open_task(saved: Mapping[str, Any]) -> Task:
    """The task of `Task.to_json`."""
    return TASKS[saved["name"]](TaskOptions(**saved["options"]), saved["facts"])
