"""Actors ask a fine-tuned model about intervals of video; how right it is stands beside baselines."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from vbert.distributed.actors import outcomes_of_models
from vbert.distributed.cluster import connect
from vbert.distributed.examples import (
    Accounting,
    JoinDocuments,
    Videos,
    annotations_of,
    every_video,
    numbered_blocks,
)
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import check_model
from vbert.progress import Progress
from vbert.storage.files import check_output, filesystem_of, with_absolute_paths, write_json
from vbert.tasks.base import Task, readable
from vbert.tasks.examples import Row
from vbert.tasks.margins import Comparison, Metrics, compare
from vbert.tasks.registry import TunedModel, only_pretrained, open_task

ANSWERS, METRICS = "answers.jsonl", "metrics.json"
ANSWERED = pa.schema(
    [
        ("answer", pa.string()),  # as JSON, like the example that it is about
        ("row", pa.string()),
        ("is_known", pa.bool_()),
        ("num_annotations", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Ask a fine-tuned model about videos; where the right answers are known, tell how good its own are."""

    tables: str
    """Folder or bucket URL of the tables with the documents of the videos."""
    model: str
    """Folder of a fine-tuned model, as finetune printed it."""
    output: str
    """Folder or bucket URL for answers.jsonl, a line an answer, and metrics.json."""
    annotations: str | None = None
    """What to ask about, and the right answers: as of finetune. Default: every video of the tables."""
    dataset: str = "records"
    """As of finetune."""
    split: Literal["train", "validation", "test"] = "test"
    """Which annotations."""
    window_seconds: float | None = None
    """Cut videos that have no annotated times into windows of this length."""
    batch_size: int = 64
    """Examples of a forward pass."""
    num_resamples: int = 100
    """Samples of the videos, drawn to tell by how many standard errors the model is ahead; 0: do not."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "num_resamples")
        if self.batch_size < 1 or not (self.window_seconds is None or self.window_seconds > 0):
            raise UserError(
                f"--batch-size {self.batch_size} must be at least 1, --window-seconds {self.window_seconds} "
                "above 0"
            )


@dataclass(frozen=True, kw_only=True)
class PredictSummary:
    """What was answered, and how well."""

    task: str
    num_answers: int
    num_without_clips: int
    num_known: int
    """Answers whose right one is known."""
    accounting: Accounting | None
    comparison: Comparison
    answers: str
    seconds: float


def predict(config: PredictConfig) -> PredictSummary:
    """Write an answer for each example, and the metrics over those whose answer is known."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model")
    facts = check_model(config.model)
    if "task" not in facts:
        raise only_pretrained(config.model)
    task = open_task(facts["task"])
    videos = Videos.asked_about(config.tables, model=config.model)
    accounting = None
    if config.annotations is None:
        annotations = every_video(videos)
    else:
        annotations, accounting = annotations_of(
            videos,
            source=config.annotations,
            dataset=config.dataset,
            columns=task.columns,
            splits=[config.split],
        )
        annotations = annotations.filter([task.is_asked(row) for row in annotations.to_pylist()])
    if annotations.num_rows == 0:
        raise UserError(f"{config.annotations}: asks nothing of {task.name} in the split {config.split}")
    root = config.output.rstrip("/")
    known: list[tuple[Row, Row]] = []
    if config.annotations is None:
        task.check_question({"question": None, "options": None})
    check_output(config.output, kind="folder")
    num_answers = num_without_clips = 0
    filesystem, path = filesystem_of(root)
    filesystem.makedirs(path, exist_ok=True)
    with filesystem.open(f"{path}/{ANSWERS}", "w") as file:
        for answer, row, is_known in _answered(annotations, videos, task, config):
            if answer is None:
                num_without_clips += 1
                continue
            num_answers += 1
            file.write(json.dumps(_line(task, answer, row)) + "\n")
            if is_known:
                known.append((answer, row))
    comparison = Comparison()
    if known:
        videos_asked = [row["video_id"] for _, row in known]
        metrics = partial(_metrics, task)
        comparison = compare(known, videos_asked, metrics, num_resamples=config.num_resamples)
    write_json(f"{root}/{METRICS}", asdict(comparison))
    return PredictSummary(
        task=task.name,
        num_answers=num_answers,
        num_without_clips=num_without_clips,
        num_known=len(known),
        accounting=accounting,
        comparison=comparison,
        answers=f"{root}/{ANSWERS}",
        seconds=time.monotonic() - start_seconds,
    )


def _line(task: Task, answer: Row, row: Row) -> dict[str, Any]:
    """What a user reads of an answer: what it is about, and what it is."""
    names = ["video_id", "start_seconds", "end_seconds"]
    names += ["question"] if "question" in task.columns else []
    about = {name: row[name] for name in names if row.get(name) is not None}
    return about | readable(answer)


def _metrics(task: Task, known: Sequence[tuple[Row, Row]]) -> Metrics:
    answers, rows = [answer for answer, _ in known], [row for _, row in known]
    return {"model": task.metrics(answers, rows)} | task.baselines(rows)


def _answered(
    annotations: pa.Table, videos: Videos, task: Task, config: PredictConfig
) -> Iterator[tuple[Row | None, Row, bool]]:
    """Answers, what they are about, and whether the right one is known, as they come from the actors."""
    connect()
    arguments = {
        "videos": videos,
        "window_seconds": config.window_seconds or task.window_seconds,
        "model": config.model,
        "batch_size": config.batch_size,
    }
    progress = Progress("predict", total=annotations.num_rows, unit="annotations")
    for block in outcomes_of_models(Answer, numbered_blocks(annotations), arguments=arguments):
        for row in block.to_pylist():
            yield json.loads(row["answer"]), json.loads(row["row"]), row["is_known"]
        progress.advance(pc.sum(block["num_annotations"]).as_py() or 0)
    progress.finish()


class Answer:
    """An actor: annotations with their number in; answers, what they are about and whether it is known out,
    as JSON."""

    def __init__(self, *, videos: Videos, window_seconds: float | None, model: str, batch_size: int) -> None:
        self.join = JoinDocuments(videos=videos, window_seconds=window_seconds)
        self.batch_size = batch_size
        self.model = TunedModel(model)
        self.task = self.model.task

    def __call__(self, annotations: pa.Table) -> pa.Table:
        """All annotations of some videos."""
        found = [row for rows in self.join.parts(annotations) for row in self._answers(rows)]
        return pa.Table.from_pylist(found, schema=ANSWERED)

    def _answers(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        shown = [row for row in rows if row["visual_tokens"]]
        found: list[dict[str, Any]] = [
            {
                "answer": "null",
                "row": json.dumps(_without_features(row)),
                "is_known": False,
                "num_annotations": 1,
            }
            for row in rows
            if not row["visual_tokens"]
        ]
        about = self.task.grouped(shown)
        answers = self.model.answers(about, batch_size=self.batch_size)
        for answer, row in zip(answers, about, strict=True):
            parts = row.get("intervals", [row])
            found.append(
                {
                    "answer": json.dumps(answer),
                    "row": json.dumps(_without_features(row)),
                    "is_known": all(self.task.has_target(part) for part in parts),
                    "num_annotations": len(parts),
                }
            )
        return found


def _without_features(row: Row) -> dict[str, Any]:
    """An example or what a task has put together, without its clips' features, which no metric looks at."""
    kept = {name: value for name, value in row.items() if name != "features"}
    if "intervals" in row:
        kept["intervals"] = [_without_features(interval) for interval in row["intervals"]]
    return kept
