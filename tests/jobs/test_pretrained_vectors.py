"""Vectors that pretraining teaches, asked as a user asks for them."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.cooking_tables import cooking_tables
from tests.tasks.test_tasks import annotations
from tests.tiny import bert_folder
from tests.training_here import train_here, work_here
from vbert.distributed.evaluate_retrieval import RetrievalConfig, evaluate_retrieval
from vbert.training.metrics_log import read_metrics


@pytest.mark.slow
def test_pairs_teach_vectors_that_find_videos_without_fine_tuning(
    joined: None, run_job: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train_here(monkeypatch)
    work_here(monkeypatch)
    tables, output = tmp_path / "tables", tmp_path / "run"
    vocabulary = cooking_tables(str(tables), num_videos=48)
    options = ["--tables", tables, "--vocabulary", vocabulary, "--model.bert", bert_folder(tmp_path / "bert")]
    options += ["--output", output, "--num-steps", 24, "--checkpoint-every", 24, "--validation-share", 0.2]
    options += ["--data-streams", 4, "--rows-per-step", 8, "--model.dropout", 0]
    options += ["--model.contrastive-weight", 100, "--optimizer.learning-rate", 0.01]
    for name, value in {
        "row-length": 64,
        "joint-weight": 0,
        "mask-share": 0.05,
        "max-joined-sentences": 1,
        "max-subsampling-step": 1,
    }.items():
        options += [f"--sequences.{name}", value]
    assert run_job("pretrain", *options) == 0
    assert read_metrics(str(output))[-1]["validation/accuracy/contrastive"] > 0.5
    asked = tmp_path / "asked.jsonl"
    rows = [row for number in range(8) for row in annotations(number)]
    said = [{**row, "captions": row["captions"][1:]} for row in rows]  # as the videos' sentences have it
    asked.write_text("".join(f"{json.dumps(row)}\n" for row in said))
    found = evaluate_retrieval(
        RetrievalConfig(
            tables=str(tables),
            model=str(output / "model"),
            annotations=str(asked),
            split="train",
            num_resamples=2,
        )
    )
    assert found.how == "cosine of vectors"
    scores = {name: metrics["text to video R@1"] for name, metrics in found.comparison.scores.items()}
    assert scores["model"] > 3 * scores["chance"]
