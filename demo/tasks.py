"""Fine-tune the demo's model for every task, and ask it about the held-out videos.

    make demo && make tasks

Prints a table, and writes it to demo-output/tasks/tasks.md. About twenty minutes on 2 cores.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

from demo.one_cluster import one_cluster
from demo.run import ROOT, precision, run, say
from vbert.tasks.margins import Comparison

EPOCHS, RATE = 8, 3e-4


@dataclass(frozen=True)
class Trial:
    """A task, and the figure and the baseline that the table shows of it."""

    task: str
    figure: str
    baseline: str
    """One that the task has of itself, or another entry of TRIALS or OTHERS."""
    options: tuple[object, ...] = ()
    annotations: str = "annotations.jsonl"
    """In the demo's corpus."""


QUESTIONS = Trial("question_answering", "accuracy", "majority of the type")
CHOICES = Trial("multiple_choice", "accuracy", "chance")
LABELS = Trial("classification", "mAP", "majority", ("--options.multi-label",))
ORDER = Trial("classification", "top-1", "mean-pooled features by order", annotations="order.jsonl")
TRIALS = {
    "classification": LABELS,
    "linear probe": replace(LABELS, options=(*LABELS.options, "--freeze-encoder")),
    "classification by order": ORDER,
    "language only": replace(QUESTIONS, options=("--options.hide-video",)),
    "question answering": replace(QUESTIONS, baseline="language only"),
    "options only": replace(CHOICES, options=("--options.hide-video",)),
    "multiple choice": replace(CHOICES, baseline="options only"),
    "captioning": Trial("captioning", "CIDEr", "most frequent caption"),
    "summarization": Trial("summarization", "F1", "random segments", ("--batch-size", 8)),
    "retrieval": Trial("retrieval", "text to video R@5", "chance"),
}
# Without fine-tuning, or without VideoBERT.
OTHERS = {
    "mean-pooled features": replace(LABELS, task="pooled_features"),
    "mean-pooled features by order": replace(ORDER, task="pooled_features"),
    "forecasting": Trial("evaluate_forecast", "top-1", "most frequent"),
    "retrieval by alignment": Trial("evaluate_retrieval", "text to video R@5", "chance"),
}
BASELINES = ("language only", "options only", "mean-pooled features by order")


def main() -> None:
    """Run each task, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=ROOT / "demo-output", help="what `make demo` has left")
    demo: Path = parser.parse_args().demo
    with one_cluster():
        run_all(demo)
    text = "\n".join(table(demo))
    (demo / "tasks" / "tasks.md").write_text(f"{text}\n")
    print(f"\n{text}")


def run_all(demo: Path) -> None:
    """Fine-tune for each task and ask about the test split; ask the pretrained model; ask without one."""
    for name, trial in TRIALS.items():
        say(name)
        run(*finetune_command(demo, folder(demo, name), trial))
        run(*predict_command(demo, folder(demo, name), trial))
    say("without fine-tuning, and without VideoBERT")
    run(*pretrained_command("evaluate_forecast", demo, "forecasting", "--videos", "heldout.csv"))
    alignment = ("--annotations", "annotations.jsonl")
    run(*pretrained_command("evaluate_retrieval", demo, "retrieval by alignment", *alignment))
    for name, trial in OTHERS.items():
        if trial.task == "pooled_features":
            places = ("--annotations", trial.annotations, "--output", folder(demo, name) / "test")
            run("-m", "demo.pooled_features", "--demo", demo, *places)


def folder(demo: Path, name: str) -> Path:
    """Where a trial's model and metrics are."""
    return demo / "tasks" / name.replace(" ", "-")


def finetune_command(demo: Path, output: Path, trial: Trial) -> list[object]:
    """Some minutes at most: a model this small takes a high rate."""
    return [
        *("jobs/finetune.py", "--task", trial.task, "--tables", demo / "tables"),
        *("--model", demo / "run" / "model", "--annotations", demo / "corpus" / trial.annotations),
        *("--output", output, "--num-epochs", EPOCHS, "--optimizer.learning-rate", RATE),
        *("--data-streams", 1, "--precision", precision(), *trial.options),
    ]


def predict_command(demo: Path, output: Path, trial: Trial) -> list[object]:
    """About the test split: the videos that neither pretraining nor fine-tuning has seen."""
    return [
        *("jobs/predict.py", "--tables", demo / "tables", "--model", output / "model"),
        *("--annotations", demo / "corpus" / trial.annotations, "--output", output / "test"),
    ]


def pretrained_command(job: str, demo: Path, name: str, option: str, file: str) -> list[object]:
    """The demo's own model, without fine-tuning."""
    return [
        *(f"jobs/{job}.py", "--tables", demo / "tables", "--model", demo / "run" / "model"),
        *(option, demo / "corpus" / file, "--output", folder(demo, name) / "test" / "metrics.json"),
    ]


def table(demo: Path) -> Iterator[str]:
    """Markdown: a line a task."""
    yield "| task | figure | model | baseline | ahead by, in standard errors |"
    yield "|---" * 5 + "|"
    for name, trial in (TRIALS | OTHERS).items():
        if name in BASELINES:
            continue
        mine = read_comparison(demo, name)
        score = mine.scores["model"][trial.figure]
        if trial.baseline in BASELINES:
            other = read_comparison(demo, trial.baseline)
            against = other.scores["model"][trial.figure]
            # As if the two were independent: asked the same they are not, so this is rather too small.
            ahead = (score - against) / math.hypot(
                *(one.standard_errors["model"][trial.figure] for one in (mine, other))
            )
        else:
            against = mine.scores[trial.baseline][trial.figure]
            ahead = mine.margins[trial.baseline][trial.figure]
        yield f"| {name} | {trial.figure} | {score:.2f} | {against:.2f} ({trial.baseline}) | {ahead:.1f} |"


def read_comparison(demo: Path, name: str) -> Comparison:
    """The metrics of a trial."""
    found = json.loads((folder(demo, name) / "test" / "metrics.json").read_text())
    return Comparison(**{field.name: found[field.name] for field in fields(Comparison)})


if __name__ == "__main__":
    main()
