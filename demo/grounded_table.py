"""What `demo.grounded` has left in its folders, as tables in Markdown: figures beside baselines."""

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from demo.ablations import zero_shot
from demo.grounded_corpus import NEW_PAIRS
from demo.seeds import shown
from demo.tasks import CHANGES, FORECAST, LABELS, QUESTIONS, TRIALS, read_comparison
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS
from vbert.training.metrics_log import read_metrics

# What pretraining sees of clips, and the folder of its run.
MODELS = {"tokens": "run", "features": "run-features"}
# The two words of zero-shot classification: what it calls them, and what they are here.
KINDS = {"verb": "color", "object": "object"}
# Files of labels that a logistic regression is asked for: each word's, and both as classification has them.
BOTH = "annotations"
LABELED = (*KINDS.values(), BOTH)
# The clips that zero-shot classification is asked about: all of the videos held out, pairs never trained on.
ASKED = {"zero-shot": "heldout.csv", "new-pairs": NEW_PAIRS}
# What is fine-tuned, and what its heads see of clips.
FINETUNED = {
    "classification": (LABELS, ("tokens", "fused")),
    "question answering": (QUESTIONS, ("fused",)),
    "retrieval": (TRIALS["retrieval"], ("fused",)),
}
FORECASTING = "forecasting"
HEADING = (
    "| asked | metric | tokens | features | fused | regression on tokens | on features | baselines |\n"
    + "|---" * 8
    + "|"
)


def table(output: Path, *, num_seeds: int) -> Iterator[str]:
    """A line for each task and metric, then what pretraining on tokens and on features costs."""
    seeds = [output / f"seed-{seed}" for seed in range(num_seeds)]
    yield HEADING
    for asked in ASKED:
        for kind in KINDS:
            yield zero_shot_line(output, seeds, asked=asked, kind=kind)
    for name in FINETUNED:
        yield finetuned_line(output, seeds, name)
    for name, forecast in (("forecasting", FORECAST), ("forecasting at changes", CHANGES)):
        found = [read_comparison(seed, FORECASTING).scores for seed in seeds]
        model = shown([scores["model"][forecast.metric] for scores in found])
        baseline = f"{forecast.baseline} {found[0][forecast.baseline][forecast.metric]:.2f}"
        yield row(name, "top-1", model, "", "", "", "", baseline)
    yield ""
    yield "| pretraining on | seconds a step | bytes read a clip | masked words told, held out | alignment |"
    yield "|---" * 5 + "|"
    for visual_input, name in MODELS.items():
        yield cost_line(output / "tables", [seed / name for seed in seeds], visual_input)


def zero_shot_line(output: Path, seeds: Sequence[Path], *, asked: str, kind: str) -> str:
    """Of models of tokens and of features; the language prior is the former's."""
    metric = f"{kind} top-1"
    found = {
        visual_input: [zero_shot(seed / name, f"{asked}.json") for seed in seeds]
        for visual_input, name in MODELS.items()
    }
    models = [shown([scores["cross-modal"][metric] for scores in mine]) for mine in found.values()]
    prior = shown([scores["language prior"][metric] for scores in found["tokens"]])
    frequency = found["tokens"][0]["frequency"][metric]
    told = regression(output, KINDS[kind], "top-1") if asked == "zero-shot" else ("", "")
    baselines = f"language prior {prior}, word frequency {frequency:.2f}"
    return row(f"{asked.replace('-', ' ')}: {KINDS[kind]}", "top-1", *models, "", *told, baselines)


def regression(output: Path, labels: str, metric: str) -> tuple[str, ...]:
    """Of visual tokens, and of features."""
    return tuple(f"{read_comparison(output, f'{labels} {of}').scores['model'][metric]:.2f}" for of in MODELS)


def finetuned_line(output: Path, seeds: Sequence[Path], name: str) -> str:
    """Of heads on the model of tokens."""
    trial, kinds = FINETUNED[name]
    found = {kind: [read_comparison(seed, f"{name} {kind}").scores for seed in seeds] for kind in kinds}
    cells = {kind: shown([scores["model"][trial.metric] for scores in mine]) for kind, mine in found.items()}
    baseline = found[kinds[0]][0][trial.baseline][trial.metric]
    told = regression(output, BOTH, trial.metric) if trial is LABELS else ("", "")
    columns = (cells.get("tokens", ""), "", cells["fused"], *told)
    return row(name, trial.metric, *columns, f"{trial.baseline} {baseline:.2f}")


def cost_line(tables: Path, runs: Sequence[Path], visual_input: str) -> str:
    """Seconds are of this machine; bytes are those of the tables' Parquet files that training reads."""
    names = ("documents",) if visual_input == "tokens" else ("documents", "features")
    num_bytes = sum(path.stat().st_size for name in names for path in (tables / name).glob("*=*/*.parquet"))
    lines = [read_metrics(str(run)) for run in runs]
    seconds = [seconds_per_step(run, mine) for run, mine in zip(runs, lines, strict=True)]
    held_out = [mine[-1] for mine in lines]
    words, alignment = (
        shown([one[f"validation/accuracy/{what}"] for one in held_out])
        for what in ("joint/words", "alignment")
    )
    return row(visual_input, shown(seconds), f"{num_bytes / num_clips(tables):,.0f}", words, alignment)


def seconds_per_step(run: Path, lines: Sequence[dict[str, Any]]) -> float:
    """The median over a run's lines of metrics, of which the first waits for data: useful positions of a step
    over those of a second."""
    options = json.loads((run / "options.json").read_text())
    positions = options["rows_per_step"] * options["sequences.row_length"]
    median: float = statistics.median(
        positions * line["train/useful_token_share"] / line["train/useful_tokens_per_second"]
        for line in lines
        if "train/loss" in line
    )
    return median


def num_clips(tables: Path) -> int:
    """Of all documents."""
    documents = Table(str(tables), DOCUMENTS)
    (vocabulary,) = documents.partitions()
    lengths = pc.list_value_length(
        documents.read(columns=["visual_tokens"], partition=vocabulary)["visual_tokens"]
    )
    count: int = pc.sum(lengths).as_py()
    return count


def row(*cells: str) -> str:
    """Of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
