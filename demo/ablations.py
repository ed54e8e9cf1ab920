"""What pretraining owes to its data and to its parts: the demo's run again, less of it each time.

    make demo && make ablations

Prints a table, and writes it to demo-output/ablations/ablations.md. About half an hour on 2 cores.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from demo.run import ROOT, evaluate_command, pretrain_command, run, say
from vbert.metrics_log import read_metrics
from vbert.records import read_records
from vbert.schemas import DOCUMENTS
from vbert.tables import Committer, Table

# What is changed against the demo's own run, in options of pretrain.
VARIANTS: dict[str, list[object]] = {
    "half of the videos": ["--share-of-videos", 0.5],
    "a quarter of the videos": ["--share-of-videos", 0.25],
    "visual tokens shuffled between videos": [],
    "alignment off": ["--model.alignment-weight", 0],
    "random text initialisation": ["--model.random-init"],
}
SHUFFLED = "visual tokens shuffled between videos"
COLUMNS = ("verb top-1", "verb top-5", "object top-1", "object top-5")


def main() -> None:
    """Run each variant, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=ROOT / "demo-output", help="what `make demo` has left")
    options = parser.parse_args()
    demo: Path = options.demo
    corpus, tables = demo / "corpus", demo / "tables"
    (vocabulary,) = (tables / "vocabularies").iterdir()
    num_steps = json.loads((demo / "run" / "options.json").read_text())["num_steps"]
    folders = {"all videos (the demo)": demo / "run"}
    for name, changes in VARIANTS.items():
        say(name)
        output = folders[name] = demo / "ablations" / name.replace(" ", "-")
        source = tables
        if name == SHUFFLED:
            source = shuffle_tokens(tables, output / "tables", partition=vocabulary.name, corpus=corpus)
        run(*pretrain_command(source, vocabulary, corpus, output, num_steps=num_steps), *changes)
        run(*evaluate_command(tables, corpus, output))  # on the true documents, whatever was trained on
    text = "\n".join(table(folders))
    (demo / "ablations" / "ablations.md").write_text(f"{text}\n")
    print(f"\n{text}")


def shuffle_tokens(tables: Path, root: Path, *, partition: str, corpus: Path) -> Path:
    """The same documents with the visual tokens of all training videos dealt out anew among them."""
    held_out = read_records(str(corpus / "heldout.csv"), {"video_id": pa.string()}, kind="list of videos")
    kept = set(held_out["video_id"].to_pylist())
    shuffled = Table(str(root), DOCUMENTS)
    if shuffled.exists():
        return root
    rows = Table(str(tables), DOCUMENTS).read(columns=DOCUMENTS.schema.names, partition=partition).to_pylist()
    trained = sorted(
        (row for row in rows if row["video_id"] not in kept), key=lambda row: str(row["video_id"])
    )
    tokens = [token for row in trained for token in row["visual_tokens"]]
    random.Random(0).shuffle(tokens)
    for row in trained:
        count = len(row["visual_tokens"])
        row["visual_tokens"], tokens = tokens[:count], tokens[count:]
    shuffled.create()
    file = shuffled.write_file(pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
    Committer(shuffled, partition=partition).commit([file])
    return root


def table(folders: dict[str, Path]) -> Iterator[str]:
    """Markdown: a line a run, and the baselines that the demo's run has."""
    yield f"| trained on | alignment | {' | '.join(COLUMNS)} |"
    yield "|---" * (2 + len(COLUMNS)) + "|"
    for name, folder in folders.items():
        scores = json.loads((folder / "zero-shot.json").read_text())["scores"]
        alignment = best_alignment(folder)
        yield line(name, f"{alignment:.2f}", scores["cross-modal"])
        if folder.name == "run":
            baselines = {method: line(f"*{method}*", "", scores[method]) for method in list(scores)[1:]}
    yield from baselines.values()


def line(name: str, alignment: str, scores: dict[str, float]) -> str:
    """One row of the table, in per cent."""
    return f"| {name} | {alignment} | {' | '.join(f'{scores[column]:.0%}' for column in COLUMNS)} |"


def best_alignment(run: Path) -> float:
    """Accuracy of alignment on held-out videos, of the checkpoint that became the model."""
    lines = [found for found in read_metrics(str(run)) if "validation/loss" in found]
    best = min(lines, key=lambda found: float(found["validation/loss"]))
    return float(best.get("validation/accuracy/alignment", float("nan")))


if __name__ == "__main__":
    main()
