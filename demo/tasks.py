"""Fine-tune the demo's model for every task, and ask it about the held-out videos.

    make demo && make tasks

Each head is trained twice: on the encoder's states alone (tokens), and with the clips' features beside them
(fused). Prints a table, and writes it to demo-output/tasks/tasks.md. About half an hour on 2 cores.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from demo.one_cluster import one_cluster
from demo.run import ROOT, precision, pretrain_command, run, say
from vbert.tasks.margins import Comparison

EPOCHS, RATE = 8, 3e-4
HEADING = (
    "| task | metric | tokens | features | fused | baseline | ahead by, in standard errors |\n"
    + "|---" * 7
    + "|"
)


@dataclass(frozen=True)
class Trial:
    """A task, and the metric and the baseline that the table shows of it."""

    task: str
    metric: str
    baseline: str
    """One that the task has of itself, or another entry of TRIALS."""
    options: tuple[object, ...] = ()
    annotations: str = "annotations.jsonl"
    """In the demo's corpus."""


QUESTIONS = Trial("question_answering", "accuracy", "majority of the type")
CHOICES = Trial("multiple_choice", "accuracy", "chance")
LABELS = Trial("classification", "mAP", "majority", ("--options.multi-label",))
ORDER = Trial("classification", "top-1", "majority", annotations="order.jsonl")
HIDDEN = ("--options.hide-video",)
TRIALS = {
    "classification": LABELS,
    "linear probe": replace(LABELS, options=(*LABELS.options, "--freeze-encoder")),
    "classification by order": ORDER,
    "language only": replace(QUESTIONS, options=HIDDEN),
    "question answering": replace(QUESTIONS, baseline="language only"),
    "options only": replace(CHOICES, options=HIDDEN),
    "multiple choice": replace(CHOICES, baseline="options only"),
    "captioning": Trial("captioning", "CIDEr", "most frequent caption"),
    "summarization": Trial("summarization", "F1", "random segments", ("--batch-size", 8)),
    "retrieval": Trial("retrieval", "text to video R@5", "chance"),
}
# Of pretrained models, without fine-tuning.
VECTORS_NAME = "retrieval without fine-tuning"
FORECAST = Trial("evaluate_forecast", "top-1", "the same again")
VECTORS = Trial("evaluate_retrieval", "text to video R@5", "chance")
CHANGES = replace(FORECAST, metric="top-1 at scene changes", baseline="most frequent next")


def main() -> None:
    """Run each task, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=ROOT / "demo-output", help="what `make demo` has left")
    parser.add_argument("--trial", choices=list(TRIALS), help="this alone, and no table of all")
    options = parser.parse_args()
    demo: Path = options.demo
    with one_cluster():
        if options.trial:
            for name in (TRIALS[options.trial].baseline, options.trial):
                if name in TRIALS:
                    run_trial(demo, name)
            print(f"\n{HEADING}\n{line(demo, options.trial)}")
            return
        run_all(demo)
    text = "\n".join(table(demo))
    (demo / "tasks" / "tasks.md").write_text(f"{text}\n")
    print(f"\n{text}")


def run_all(demo: Path) -> None:
    """Every trial; ask the pretrained model, and one that has been taught vectors, too."""
    for name in TRIALS:
        run_trial(demo, name)
    say("without fine-tuning")
    videos, captions = ("--videos", "heldout.csv"), ("--annotations", "annotations.jsonl")
    run(*pretrained_command("evaluate_forecast", demo, demo / "run", "forecasting", *videos))
    with_vectors = folder(demo, "with vectors")
    run(*with_vectors_command(demo, with_vectors))
    run(*pretrained_command("evaluate_retrieval", demo, with_vectors, VECTORS_NAME, *captions))


def run_trial(demo: Path, name: str) -> None:
    """Fine-tune and ask about the test split, with and without features; and, where there are labels, do so
    without VideoBERT."""
    trial = TRIALS[name]
    for kind in kinds_of(trial):
        say(f"{name}: {kind}")
        output = folder(demo, f"{name} {kind}")
        run(*finetune_command(demo, output, trial, kind=kind))
        run(*predict_command(demo, output, trial))
    if trial.task == "classification":
        say(f"{name}: mean-pooled features and logistic regression")
        places = ("--annotations", trial.annotations, "--output", folder(demo, f"{name} features") / "test")
        run("-m", "demo.pooled_features", "--demo", demo, *places)


def kinds_of(trial: Trial) -> tuple[str, ...]:
    """What its heads see of clips; a head that sees no video is trained once."""
    return ("tokens",) if trial.options == HIDDEN else ("tokens", "fused")


def folder(demo: Path, name: str) -> Path:
    """Where a trial's model and metrics are."""
    return demo / "tasks" / name.replace(" ", "-")


def finetune_command(demo: Path, output: Path, trial: Trial, *, kind: str) -> list[object]:
    """Some minutes at most: a model this small takes a high rate."""
    return [
        *("jobs/finetune.py", "--task", trial.task, "--tables", demo / "tables"),
        *("--model", demo / "run" / "model", "--annotations", demo / "corpus" / trial.annotations),
        *("--output", output, "--num-epochs", EPOCHS, "--optimizer.learning-rate", RATE, "--features", kind),
        *("--data-streams", 1, "--precision", precision(), *trial.options),
    ]


def predict_command(demo: Path, output: Path, trial: Trial) -> list[object]:
    """About the test split: the videos that neither pretraining nor fine-tuning has seen."""
    return [
        *("jobs/predict.py", "--tables", demo / "tables", "--model", output / "model"),
        *("--annotations", demo / "corpus" / trial.annotations, "--output", output / "test"),
    ]


def with_vectors_command(demo: Path, output: Path) -> list[object]:
    """The demo's pretraining again, with texts and videos told apart."""
    (vocabulary,) = (demo / "tables" / "vocabularies").iterdir()
    num_steps = json.loads((demo / "run" / "options.json").read_text())["num_steps"]
    command = pretrain_command(demo / "tables", vocabulary, demo / "corpus", output, num_steps=num_steps)
    return [*command, "--model.contrastive-weight", 1]


def pretrained_command(
    job: str, demo: Path, pretrained: Path, name: str, option: str, file: str
) -> list[object]:
    """A pretrained model, without fine-tuning."""
    return [
        *(f"jobs/{job}.py", "--tables", demo / "tables", "--model", pretrained / "model"),
        *(option, demo / "corpus" / file, "--output", folder(demo, name) / "test" / "metrics.json"),
    ]


def table(demo: Path) -> Iterator[str]:
    """Markdown: a line a task."""
    yield HEADING
    for name, trial in TRIALS.items():
        if trial.options != HIDDEN:
            yield line(demo, name)
    for name, trial, asked in (
        ("forecasting", FORECAST, "forecasting"),
        ("forecasting at scene changes", CHANGES, "forecasting"),
        (VECTORS_NAME, VECTORS, VECTORS_NAME),
    ):
        mine = read_comparison(demo, asked)
        figures = (mine.scores["model"][trial.metric], None, None, mine.scores[trial.baseline][trial.metric])
        yield row(name, trial, figures, mine.margins[trial.baseline].get(trial.metric))


def line(demo: Path, name: str) -> str:
    """What the table says of one task: how far the fused head is ahead of the baseline."""
    trial = TRIALS[name]
    found = {kind: read_comparison(demo, f"{name} {kind}") for kind in kinds_of(trial)}
    mine = found[kinds_of(trial)[-1]]
    pooled = None
    if trial.task == "classification":
        pooled = read_comparison(demo, f"{name} features").scores["model"][trial.metric]
    if trial.baseline in TRIALS:
        other = read_comparison(demo, f"{trial.baseline} tokens")
        against = other.scores["model"][trial.metric]
        # As if the two were independent: asked the same they are not, so this is rather too small.
        error = math.hypot(*(one.standard_errors["model"].get(trial.metric, 0.0) for one in (mine, other)))
        ahead = (mine.scores["model"][trial.metric] - against) / error if error else None
    else:
        against = mine.scores[trial.baseline][trial.metric]
        ahead = mine.margins[trial.baseline].get(trial.metric)
    tokens, fused = (
        found[kind].scores["model"][trial.metric] if kind in found else None for kind in ("tokens", "fused")
    )
    return row(name, trial, (tokens, pooled, fused, against), ahead)


def row(name: str, trial: Trial, figures: Sequence[float | None], ahead: float | None) -> str:
    """Of tokens, features, fused and baseline."""
    shown = ["" if figure is None else f"{figure:.2f}" for figure in figures]
    shown[-1] += f" ({trial.baseline})"
    return f"| {' | '.join([name, trial.metric, *shown, '' if ahead is None else f'{ahead:.1f}'])} |"


def read_comparison(demo: Path, name: str) -> Comparison:
    """The metrics of a trial."""
    found = json.loads((folder(demo, name) / "test" / "metrics.json").read_text())
    return Comparison(**{field.name: found[field.name] for field in fields(Comparison)})


if __name__ == "__main__":
    main()
