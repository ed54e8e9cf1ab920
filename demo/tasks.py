"""Fine-tune the demo's model for every task, and ask it about the held-out videos.

    make demo && make tasks

Prints a table, and writes it to demo-output/tasks/tasks.md. About a quarter of an hour on 2 cores.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.run import ROOT, run, say

EPOCHS, RATE = 8, 3e-4


@dataclass(frozen=True)
class Trial:
    """A task, and the figure and the baseline that the table shows of it."""

    task: str
    figure: str
    baseline: str
    options: tuple[object, ...] = ()


TRIALS = {
    "classification (several labels)": Trial("classification", "mAP", "majority", ("--options.multi-label",)),
    "linear probe": Trial("classification", "mAP", "majority", ("--options.multi-label", "--freeze-encoder")),
    "question answering": Trial("question_answering", "accuracy", "majority of the type"),
    "multiple choice": Trial("multiple_choice", "accuracy", "chance"),
    "captioning": Trial("captioning", "CIDEr", "most frequent caption"),
    "summarization": Trial("summarization", "F1", "random segments", ("--batch-size", 8)),
    "retrieval": Trial("retrieval", "text to video R@5", "chance"),
}


PRETRAINED = {
    "forecasting": Trial("evaluate_forecast", "top-1", "the same again"),
    "retrieval by alignment": Trial("evaluate_retrieval", "text to video R@5", "chance"),
}


def main() -> None:
    """Run each task, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=ROOT / "demo-output", help="what `make demo` has left")
    parser.add_argument("--only", choices=TRIALS, action="append", help="some of the tasks")
    options = parser.parse_args()
    demo: Path = options.demo
    names = options.only or list(TRIALS)
    for name in names:
        say(name)
        folder = demo / "tasks" / name.replace(" ", "-")
        run(*finetune_command(demo, folder, TRIALS[name]))
        run(*predict_command(demo, folder))
    if options.only is None:
        say("forecasting and retrieval without fine-tuning")
        run(*pretrained_command("evaluate_forecast", demo, "--videos", "heldout.csv"))
        run(*pretrained_command("evaluate_retrieval", demo, "--annotations", "annotations.jsonl"))
        names = [*names, *PRETRAINED]
    text = "\n".join(table(demo, names))
    (demo / "tasks" / "tasks.md").write_text(f"{text}\n")
    print(f"\n{text}")


def finetune_command(demo: Path, output: Path, trial: Trial) -> list[object]:
    """Some minutes at most: a model this small takes a high rate."""
    return [
        *("jobs/finetune.py", "--task", trial.task, "--tables", demo / "tables"),
        *("--model", demo / "run" / "model", "--annotations", demo / "corpus" / "annotations.jsonl"),
        *("--output", output, "--num-epochs", EPOCHS, "--optimizer.learning-rate", RATE),
        *("--lanes", 1, "--precision", "bf16", *trial.options),
    ]


def predict_command(demo: Path, output: Path) -> list[object]:
    """About the test split: the videos that neither pretraining nor fine-tuning has seen."""
    return [
        *("jobs/predict.py", "--tables", demo / "tables", "--model", output / "model"),
        *("--annotations", demo / "corpus" / "annotations.jsonl", "--output", output / "test"),
    ]


def pretrained_command(job: str, demo: Path, option: str, file: str) -> list[object]:
    """The demo's own model, without fine-tuning."""
    return [
        *(f"jobs/{job}.py", "--tables", demo / "tables", "--model", demo / "run" / "model"),
        *(option, demo / "corpus" / file, "--output", demo / "tasks" / job / "figures.json"),
    ]


def table(demo: Path, names: list[str]) -> Iterator[str]:
    """Markdown: a line a task."""
    yield "| task | figure | model | baseline | ahead by, in standard errors |"
    yield "|---" * 5 + "|"
    for name in names:
        trial = (TRIALS | PRETRAINED)[name]
        folder = trial.task if name in PRETRAINED else f"{name.replace(' ', '-')}/test"
        found: dict[str, Any] = json.loads((demo / "tasks" / folder / "figures.json").read_text())
        model, baseline = (found["scores"][method][trial.figure] for method in ("model", trial.baseline))
        ahead = found["margins"].get(trial.baseline, {}).get(trial.figure)
        margin = "always" if ahead is None else f"{ahead:.1f}"
        yield f"| {name} | {trial.figure} | {model:.2f} | {baseline:.2f} ({trial.baseline}) | {margin} |"


if __name__ == "__main__":
    main()
