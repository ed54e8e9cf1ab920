"""What pretraining owes to its data and to its parts: the demo's run again, less of it each time.

    make demo && make ablations

Prints a table, and writes it to demo-output/ablations/ablations.md. About an hour on 2 cores.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from demo.one_cluster import one_cluster
from demo.run import ROOT, evaluate_command, pretrain_command, run, say
from demo.seeds import per_cent
from vbert.storage.records import read_records
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS
from vbert.training.metrics_log import read_metrics


@dataclass(frozen=True)
class Variant:
    """What is changed against the demo's own run, in options of pretrain, and how often it is run."""

    changes: tuple[object, ...] = ()
    num_seeds: int = 1  # more where one seed's chance is larger than what the change does


ALL, SHUFFLED = "all videos (the demo)", "visual tokens shuffled between videos"
VARIANTS = {
    ALL: Variant(num_seeds=3),
    "half of the videos": Variant(("--share-of-videos", 0.5), num_seeds=3),
    "a quarter of the videos": Variant(("--share-of-videos", 0.25), num_seeds=3),
    SHUFFLED: Variant(),
    "alignment off": Variant(("--model.alignment-weight", 0)),
    "random text initialisation": Variant(("--model.random-init",)),
}
COLUMNS = ("verb top-1", "verb top-5", "object top-1", "object top-5")


def main() -> None:
    """Run each variant, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, default=ROOT / "demo-output", help="what `make demo` has left")
    options = parser.parse_args()
    demo: Path = options.demo
    with one_cluster():
        folders = train_all(demo)
    text = "\n".join(table(folders))
    (demo / "ablations" / "ablations.md").write_text(f"{text}\n")
    print(f"\n{text}")


def train_all(demo: Path) -> dict[str, list[Path]]:
    """Train and evaluate each variant with its seeds; the folders of their runs, by its name."""
    corpus, tables = demo / "corpus", demo / "tables"
    (vocabulary,) = (tables / "vocabularies").iterdir()
    num_steps = json.loads((demo / "run" / "options.json").read_text())["num_steps"]
    folders: dict[str, list[Path]] = {name: [] for name in VARIANTS}
    for name, variant in VARIANTS.items():
        for seed in range(variant.num_seeds):
            if (name, seed) == (ALL, 0):
                folders[name].append(demo / "run")
                continue
            say(f"{name}, seed {seed}")
            output = demo / "ablations" / f"{name.replace(' ', '-')}-{seed}"
            folders[name].append(output)
            source = tables
            if name == SHUFFLED:
                source = shuffle_tokens(tables, output / "tables", partition=vocabulary.name, corpus=corpus)
            command = pretrain_command(source, vocabulary, corpus, output, num_steps=num_steps)
            run(*command, "--seed", seed, *variant.changes)
            run(*evaluate_command(tables, corpus, output))  # on the true documents, whatever was trained on
    return folders


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


def table(folders: dict[str, list[Path]]) -> Iterator[str]:
    """Markdown: a line a variant, and the baselines that the demo's run has."""
    yield f"| trained on | alignment | {' | '.join(COLUMNS)} |"
    yield "|---" * (2 + len(COLUMNS)) + "|"
    for name, runs in folders.items():
        scores = [zero_shot(folder)["cross-modal"] for folder in runs]
        cells = [per_cent([best_alignment(folder) for folder in runs])]
        cells += [per_cent([score[column] for score in scores]) for column in COLUMNS]
        yield f"| {name} | {' | '.join(cells)} |"
    for method, score in list(zero_shot(folders[ALL][0]).items())[1:]:
        yield f"| *{method}* | | {' | '.join(per_cent([score[column]]) for column in COLUMNS)} |"


def zero_shot(run: Path, file: str = "zero-shot.json") -> dict[str, dict[str, float]]:
    """Accuracies by method, the model's first."""
    scores: dict[str, dict[str, float]] = json.loads((run / file).read_text())["scores"]
    return scores


def best_alignment(run: Path) -> float:
    """Accuracy of alignment on held-out videos, of the checkpoint that became the model."""
    lines = [found for found in read_metrics(str(run)) if "validation/loss" in found]
    best = min(lines, key=lambda found: float(found["validation/loss"]))
    return float(best.get("validation/accuracy/alignment", float("nan")))


if __name__ == "__main__":
    main()
