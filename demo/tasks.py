"""Fine-tune the demo's model for every task, and ask it about the held-out videos.

    make demo && make tasks

Each head is trained twice: on the encoder's states alone (tokens), and with the clips' features beside them
(fused). Prints a table, and writes it to demo-output/tasks/tasks.md. About half an hour a seed on 2 cores.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from demo.one_cluster import one_cluster
from demo.run import ROOT, precision, pretrain_command, run, say
from demo.seeds import folder_of_seed, shown
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
    parser.add_argument("--num-seeds", type=int, default=1, help="train all so often; then figures are means")
    options = parser.parse_args()
    demo: Path = options.demo
    seeds = [demo_of_seed(demo, seed) for seed in range(options.num_seeds)]
    with one_cluster():
        for seed, here in enumerate(seeds):
            if options.trial:
                for name in (TRIALS[options.trial].baseline, options.trial):
                    if name in TRIALS:
                        run_trial(here, name, seed=seed)
            else:
                run_all(here, seed=seed)
    if options.trial:
        print(f"\n{HEADING}\n{line(seeds, options.trial)}")
        return
    text = "\n".join(table(seeds))
    (demo / "tasks" / "tasks.md").write_text(f"{text}\n")
    print(f"\n{text}")


def demo_of_seed(demo: Path, seed: int) -> Path:
    """The demo itself, or a folder in which other seeds' models lie beside what the demo has made."""
    return folder_of_seed(demo, seed, shared=("corpus", "tables", "run")) if seed else demo


def run_all(demo: Path, *, seed: int) -> None:
    """Every trial; ask the pretrained model, and one that has been taught vectors, too."""
    for name in TRIALS:
        run_trial(demo, name, seed=seed)
    say("without fine-tuning")
    videos, captions = ("--videos", "heldout.csv"), ("--annotations", "annotations.jsonl")
    run(*pretrained_command("evaluate_forecast", demo, demo / "run", "forecasting", *videos))
    with_vectors = folder(demo, "with vectors")
    run(*with_vectors_command(demo, with_vectors), "--seed", seed)
    run(*pretrained_command("evaluate_retrieval", demo, with_vectors, VECTORS_NAME, *captions))


def run_trial(demo: Path, name: str, *, seed: int) -> None:
    """Fine-tune and ask about the test split, with and without features; and, where there are labels, do so
    without VideoBERT, which has no seed."""
    trial = TRIALS[name]
    for kind in kinds_of(trial):
        say(f"{name}: {kind}, seed {seed}")
        output = folder(demo, f"{name} {kind}")
        run(*finetune_command(demo, output, trial, kind=kind), "--seed", seed)
        run(*predict_command(demo, output, trial))
    if trial.task == "classification" and seed == 0:
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


def table(seeds: Sequence[Path]) -> Iterator[str]:
    """Markdown: a line a task, of the demo's folders of each seed."""
    yield HEADING
    for name, trial in TRIALS.items():
        if trial.options != HIDDEN:
            yield line(seeds, name)
    for name, trial, asked in (
        ("forecasting", FORECAST, "forecasting"),
        ("forecasting at scene changes", CHANGES, "forecasting"),
        (VECTORS_NAME, VECTORS, VECTORS_NAME),
    ):
        # One pretrained model is asked for all seeds, but for the one that is taught vectors.
        found = [read_comparison(seed, asked) for seed in (seeds if trial is VECTORS else seeds[:1])]
        model = [mine.scores["model"][trial.metric] for mine in found]
        ahead = [mine.margins[trial.baseline].get(trial.metric) for mine in found]
        yield row(name, trial, (model, [], []), found[0].scores[trial.baseline][trial.metric], ahead)


def line(seeds: Sequence[Path], name: str) -> str:
    """What the table says of one task: how far the fused head is ahead of the baseline."""
    trial = TRIALS[name]
    found = {kind: [read_comparison(seed, f"{name} {kind}") for seed in seeds] for kind in kinds_of(trial)}
    pooled = []
    if trial.task == "classification":
        pooled = [read_comparison(seeds[0], f"{name} features").scores["model"][trial.metric]]
    last = found[kinds_of(trial)[-1]]
    if trial.baseline in TRIALS:
        others = [read_comparison(seed, f"{trial.baseline} tokens") for seed in seeds]
        ahead = [ahead_of(trial.metric, mine, other) for mine, other in zip(last, others, strict=True)]
        against = statistics.mean(other.scores["model"][trial.metric] for other in others)
    else:
        ahead = [mine.margins[trial.baseline].get(trial.metric) for mine in last]
        against = last[0].scores[trial.baseline][trial.metric]
    tokens, fused = (
        [mine.scores["model"][trial.metric] for mine in found.get(kind, [])] for kind in ("tokens", "fused")
    )
    return row(name, trial, (tokens, pooled, fused), against, ahead)


def ahead_of(metric: str, mine: Comparison, other: Comparison) -> float | None:
    """Of another model, in standard errors. As if the two were independent: asked the same they are not, so
    this is rather too small."""
    error = math.hypot(*(one.standard_errors["model"].get(metric, 0.0) for one in (mine, other)))
    return (mine.scores["model"][metric] - other.scores["model"][metric]) / error if error else None


def row(
    name: str,
    trial: Trial,
    figures: Sequence[Sequence[float]],
    baseline: float,
    ahead: Sequence[float | None],
) -> str:
    """Of tokens, features and fused, a figure a seed each; of how far ahead the mean."""
    margins = [margin for margin in ahead if margin is not None]
    cells = [
        *(shown(values) for values in figures),
        f"{baseline:.2f} ({trial.baseline})",
        f"{statistics.mean(margins):.1f}" if margins else "",
    ]
    return f"| {' | '.join([name, trial.metric, *cells])} |"


def read_comparison(demo: Path, name: str) -> Comparison:
    """The metrics of a trial."""
    found = json.loads((folder(demo, name) / "test" / "metrics.json").read_text())
    return Comparison(**{field.name: found[field.name] for field in fields(Comparison)})


if __name__ == "__main__":
    main()
