"""Texts and videos in the one space of a model: fine-tuned for retrieval, or pretrained with such vectors."""

from collections.abc import Sequence

import numpy as np

from vbert.errors import UserError
from vbert.model.checkpoint_files import CONFIG, PROGRESS, check_model, read_json, visual_vocabulary_of
from vbert.tasks.base import TaskOptions
from vbert.tasks.examples import Row
from vbert.tasks.registry import TunedModel, only_pretrained, open_task
from vbert.tasks.retrieval import PretrainedRetrieval, Retrieval

EXAMPLES_AT_ONCE = 64


def is_pretrained_for_it(model: str) -> bool:
    """Whether a model, which is not fine-tuned, was pretrained with a contrastive objective."""
    is_tuned = "task" in read_json(model, PROGRESS)
    return not is_tuned and read_json(model, CONFIG).get("contrastive_loss_weight", 0) > 0


def check_retrieval(model: str) -> str:
    """Id of its visual vocabulary. UserError unless it is a model for retrieval."""
    facts = check_model(model)
    if is_pretrained_for_it(model):
        return visual_vocabulary_of(model)
    if "task" not in facts:
        raise only_pretrained(model)
    task = open_task(facts["task"])
    if not isinstance(task, Retrieval):
        raise UserError(f"{model}: was fine-tuned for {task.name}, and not for retrieval")
    vocabulary: str = facts["vocabulary"]
    return vocabulary


def open_joint_space(model: str) -> TunedModel:
    """A model that `check_retrieval` has passed, ready to be asked."""
    task = PretrainedRetrieval(TaskOptions(), {}) if is_pretrained_for_it(model) else None
    return TunedModel(model, task=task)


def embedded(model: TunedModel, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the first captions and of the clips of examples, float32 [num_rows, dim] of length 1 both.

    An example without captions has the vector of no text, one without clips that of no video.
    """
    answers = model.answers(rows, batch_size=EXAMPLES_AT_ONCE)
    texts, shown = (
        np.array([answer[f"_{kind}_vector"] for answer in answers], np.float32) for kind in ("text", "video")
    )
    return texts, shown


def embedded_text(model: TunedModel, text: str) -> np.ndarray:
    """The vector of a text, float32 [dim]."""
    alone: Row = {"captions": [text], "visual_tokens": [], "said": ""}
    texts, _ = embedded(model, [alone])
    vector: np.ndarray = texts[0]
    return vector
