"""Labels told from the mean of an interval's clip features by logistic regression: no order, no words.

    python -m demo.pooled_features --demo demo-output --annotations annotations.jsonl \\
        --output demo-output/tasks/mean-pooled-features/test

The classic baseline of video classification, for the labels and the test split of annotations of the demo's.
`--of tokens` takes the share of each visual token in their place: what the visual vocabulary has kept.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from vbert.storage.files import write_json
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, unpack_vectors
from vbert.tasks.datasets import read_annotations
from vbert.tasks.examples import clips_in_interval
from vbert.tasks.margins import Metrics, compare
from vbert.tasks.metrics import mean_average_precision

NUM_RESAMPLES = 200


def main() -> None:
    """Pool, fit, tell how right it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", type=Path, required=True, help="what `make demo` has left")
    parser.add_argument("--annotations", required=True, help="file in the demo's corpus")
    parser.add_argument("--of", choices=("features", "tokens"), default="features", help="of clips")
    parser.add_argument("--output", type=Path, required=True, help="folder for metrics.json")
    options = parser.parse_args()
    videos = (read_features if options.of == "features" else read_tokens)(options.demo / "tables")
    annotations = read_annotations(str(options.demo / "corpus" / options.annotations), dataset="records")
    rows = [row for row in annotations.to_pylist() if row["labels"] and row["video_id"] in videos]
    pooled = {id(row): pool(videos[row["video_id"]], row) for row in rows}
    rows = [row for row in rows if pooled[id(row)] is not None]
    trained = [row for row in rows if row["split"] == "train"]
    tested = [row for row in rows if row["split"] == "test"]
    binarizer = MultiLabelBinarizer()
    truth = binarizer.fit_transform([row["labels"] for row in trained])
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=2000, C=0.1)))
    model.fit(np.array([pooled[id(row)] for row in trained]), truth)
    scores = model.predict_proba(np.array([pooled[id(row)] for row in tested]))
    labels = binarizer.transform([row["labels"] for row in tested]).astype(bool)

    frequent = np.broadcast_to(truth.mean(0), scores.shape)

    def metrics(places: list[int]) -> Metrics:
        methods = {"model": scores, "majority": frequent}
        return {name: _metrics(found[places], labels[places]) for name, found in methods.items()}

    owners = [row["video_id"] for row in tested]
    found = compare(range(len(tested)), owners, metrics, num_resamples=NUM_RESAMPLES)
    write_json(str(options.output / "metrics.json"), asdict(found))
    print(json.dumps(found.lines()))


def _metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    first = labels[np.arange(len(labels)), scores.argmax(1)].mean()
    return {"mAP": mean_average_precision(scores, labels), "top-1": float(first)}


def read_features(tables: Path) -> dict[str, dict[str, Any]]:
    """By video: float32 features [num_clips, dim], and when and how long its clips are."""
    table = Table(str(tables), FEATURES)
    (featurizer,) = table.partitions()
    columns = ["video_id", "segment_index", "clip_start_seconds", "clip_seconds", "features"]
    rows = table.read(columns=columns, partition=featurizer).sort_by(
        [("video_id", "ascending"), ("segment_index", "ascending")]
    )
    found: dict[str, dict[str, Any]] = {}
    for at, row in enumerate(rows.drop_columns(["features"]).to_pylist()):
        video = found.setdefault(
            row["video_id"],
            {"features": [], "visual_token_start_seconds": [], "clip_seconds": row["clip_seconds"]},
        )
        video["features"].append(unpack_vectors(rows["features"].slice(at, 1)))
        video["visual_token_start_seconds"] += row["clip_start_seconds"]
    for video in found.values():
        video["features"] = np.concatenate(video["features"])
    return found


def read_tokens(tables: Path) -> dict[str, dict[str, Any]]:
    """The same, a clip's features being 1 at its visual token: float32 [num_clips, num_visual_tokens]."""
    table = Table(str(tables), DOCUMENTS)
    (vocabulary,) = table.partitions()
    columns = ["video_id", "visual_tokens", "visual_token_start_seconds", "clip_seconds"]
    rows = table.read(columns=columns, partition=vocabulary).to_pylist()
    each = np.eye(1 + max(max(row["visual_tokens"], default=0) for row in rows), dtype=np.float32)
    return {row["video_id"]: {**row, "features": each[row["visual_tokens"]]} for row in rows}


def pool(video: dict[str, Any], row: dict[str, Any]) -> np.ndarray | None:
    """The mean over the clips that an example of the same annotation has; None if it has none."""
    first, last = clips_in_interval(video, row["start_seconds"], row["end_seconds"])
    mean: np.ndarray = video["features"][first:last].mean(0)
    return mean if last > first else None


if __name__ == "__main__":
    main()
