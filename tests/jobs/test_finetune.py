"""Fine-tuning and prediction as users run them: on a local Ray cluster, on tables, from the command line."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.conftest import Run
from tests.documents.test_continuous import DIM, features_row
from tests.tasks.test_tasks import annotations
from tests.tiny import FOODS, NUM_VISUAL_TOKENS, bert_config, cooking, vocabulary
from tests.training_here import train_here, work_here
from vbert.distributed import train_run
from vbert.distributed.evaluate_forecast import ForecastConfig, evaluate_forecast
from vbert.distributed.evaluate_retrieval import RetrievalConfig, evaluate_retrieval
from vbert.distributed.finetune import FinetuneConfig, finetune
from vbert.distributed.predict import PredictConfig, predict
from vbert.distributed.train_run import Trainer
from vbert.errors import UserError
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES
from vbert.training.metrics_log import read_metrics

pytestmark = pytest.mark.slow

VOCABULARY = "0123456789abcdef"
NUM_VIDEOS = 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of 60 cooking videos, annotations of 61, and an untrained model of their vocabulary."""
    root = tmp_path_factory.mktemp("finetune")
    rows = [cooking(number) | {"vocabulary": VOCABULARY} for number in range(NUM_VIDEOS)]
    segments = [features_row(row, *part) for row in rows for part in ((7, 12, 1), (0, 7, 0))]
    for layout, part, partition in ((DOCUMENTS, rows, VOCABULARY), (FEATURES, segments, "fake")):
        table = Table(str(root / "tables"), layout)
        table.create()
        file = table.write_file(pa.Table.from_pylist(part, schema=layout.schema))
        Committer(table, partition=partition).commit([file])
    lines = []
    for number in range(NUM_VIDEOS + 1):
        split = "test" if number % 5 == 0 else "validation" if number % 5 == 1 else "train"
        lines += [row | {"split": split} for row in annotations(number)]
    (root / "annotations.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    torch.manual_seed(0)
    model = root / "model"
    sizes = bert_config(hidden_size=64, intermediate_size=128)
    VideoBertForPreTraining(from_bert_config(sizes, num_visual_tokens=NUM_VISUAL_TOKENS)).save_pretrained(
        model
    )
    (model / "tokenizer.json").write_text(vocabulary().tokenizer_json)
    (model / "progress.json").write_text(
        json.dumps({"step": 1, "vocabulary": VOCABULARY, "featurizer": "fake"})
    )
    return root


@pytest.fixture
def tune(corpus: Path, joined: None, run_job: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The job in this process, with relative paths: its exit status."""
    monkeypatch.chdir(corpus)

    def tune(output: Path, *options: object, task: str = "classification") -> int:
        return run_job(
            "finetune",
            *("--task", task, "--tables", "tables", "--model", "model", "--annotations", "annotations.jsonl"),
            *("--output", os.path.relpath(output, corpus), "--batch-size", 16, "--data-streams", 2),
            *("--num-epochs", 4, "--row-length", 64, "--log-every", 1),
            *("--optimizer.learning-rate", 0.003, *options),
        )

    return tune


@pytest.fixture
def tune_here(tune: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same with its workers in this process, too."""
    train_here(monkeypatch)
    work_here(monkeypatch)
    return tune


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    """What the undisturbed run said, once there is one."""
    return {}


@pytest.fixture
def undisturbed(
    corpus: Path, tune_here: Run, kept: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> tuple[Path, str]:
    """The folder of a run of one worker, and what it said."""
    output = corpus / "one"
    if not kept:
        assert tune_here(output) == 0
        kept["said"] = capsys.readouterr().out
    return output, kept["said"]


def losses(output: Path) -> list[dict[str, Any]]:
    kept = ("step", "train/loss", "validation/loss")
    return [{k: v for k, v in line.items() if k in kept} for line in read_metrics(str(output))]


@pytest.mark.seconds(60)
def test_a_run_learns_and_its_model_answers(
    corpus: Path,
    undisturbed: tuple[Path, str],
    run_job: Run,
    tune_here: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    run, said = undisturbed
    # 36 training videos of 3 intervals are 6 batches of 16.
    assert "finetune: classification, 24 steps" in said
    assert re.search(r"annotated videos missing +1 of 61", said)
    model = run / "model"
    config = json.loads((model / "config.json").read_text())
    assert (config["head_features"], config["head_feature_dim"]) == ("fused", DIM)
    assert json.loads((run / "finetune.json").read_text())["versions"] == {"documents": 1, "features": 1}
    paths = ["--tables", "tables", "--model", model, "--annotations", "annotations.jsonl"]
    assert run_job("predict", *paths, "--output", tmp_path / "answers") == 0
    scores = json.loads((tmp_path / "answers" / "metrics.json").read_text())["scores"]
    assert scores["model"]["top-1"] > 0.9 > 2 * scores["majority"]["top-1"]
    lines = [json.loads(line) for line in (tmp_path / "answers" / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 36  # 12 test videos
    assert sorted(lines[0]) == ["end_seconds", "labels", "probabilities", "start_seconds", "video_id"]
    assert lines[0]["labels"][0] in FOODS

    monkeypatch.setattr("vbert.distributed.finetune.connect", None)  # of what is finished nothing is asked
    assert tune_here(run) == 0
    again = capsys.readouterr().out
    assert "finetune: classification, 24 steps, finished before" in again
    assert re.findall("  validation .*", again) == re.findall("  validation .*", said)

    def ask(**options: Any) -> Any:
        tables = str(corpus / "tables")
        return predict(
            PredictConfig(tables=tables, model=str(model), output=str(tmp_path / "all"), **options)
        )

    every = ask(window_seconds=6.0)
    assert (every.num_answers, every.num_known, every.comparison.scores) == (3 * NUM_VIDEOS, 0, {})
    model = corpus / "model"
    with pytest.raises(UserError, match="a pretrained model and not a fine-tuned one"):
        ask()


@pytest.mark.slow
@pytest.mark.seconds(60)  # Ray Train's processes start, which import torch
def test_two_workers_of_ray_have_the_losses_of_one(
    tune: Run, undisturbed: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(train_run, "Trainer", Trainer)
    assert tune(tmp_path / "two", "--num-workers", 2) == 0
    one, two = losses(undisturbed[0]), losses(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for left, right in zip(one, two, strict=True):
        assert left == pytest.approx(right, rel=1e-4)


@pytest.mark.seconds(90)
def test_texts_find_their_videos_in_two_stages(corpus: Path, tune_here: Run, tmp_path: Path):
    assert tune_here(tmp_path / "near", task="retrieval") == 0
    glove = tmp_path / "glove.txt"
    glove.write_text(
        "".join(f"{food} {' '.join(map(str, np.eye(5)[at]))}\n" for at, food in enumerate(FOODS))
    )

    def evaluate(**options: Any) -> Any:
        return evaluate_retrieval(
            RetrievalConfig(
                tables=str(corpus / "tables"),
                model=str(corpus / "model"),
                annotations=str(corpus / "annotations.jsonl"),
                num_resamples=5,
                **options,
            )
        )

    found = evaluate(
        first_stage=str(tmp_path / "near" / "model"),
        num_candidates=6,
        word_vectors=str(glove),
        output=str(tmp_path / "retrieval.json"),
    )
    assert found.num_pairs == 36
    scores = {name: metrics["text to video R@1"] for name, metrics in found.comparison.scores.items()}
    assert scores["first stage"] > 0.6  # trained; the others' captions are all of five foods
    assert scores["word vectors of what is said"] > 0.6
    assert scores["sentence embeddings of what is said"] > 0.6
    unaided = evaluate()
    assert unaided.how == "alignment"
    alone = unaided.comparison.scores["model"]["text to video R@1"]
    assert max(scores["chance"], alone) < 0.4  # the model has not been trained
    assert scores["model"] > alone + 0.2  # but is asked only about what the first stage has found
    saved = json.loads((tmp_path / "retrieval.json").read_text())
    assert saved["scores"] == found.comparison.scores
    with pytest.raises(UserError, match="no checkpoint"):
        evaluate(first_stage=str(tmp_path))


def test_what_comes_next_is_ranked_against_the_same_again(
    corpus: Path, joined: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    work_here(monkeypatch)
    (tmp_path / "asked.csv").write_text("video_id\ncooking-0\ncooking-1\ngone\n")
    config = ForecastConfig(
        tables=str(corpus / "tables"),
        model=str(corpus / "model"),
        videos=str(tmp_path / "asked.csv"),
        num_seen=3,
        num_resamples=4,
        output=str(tmp_path / "forecast.json"),
    )
    found = evaluate_forecast(config)
    # Twelve clips: 3 seen and 1 that follows, three times a video.
    assert (found.num_clips, found.num_videos) == (6, 2)
    tokens = [cooking(number)["visual_tokens"] for number in (0, 1)]
    same = [row[at] == row[at + 1] for row in tokens for at in (2, 6, 10)]
    scores = found.comparison.scores
    assert scores["the same again"]["top-1"] == pytest.approx(np.mean(same))
    assert scores["the same again"]["top-1 at scene changes"] == 0
    assert found.num_scene_changes == 6 - sum(same) > 0
    for method in ("model", "most frequent next"):
        # All clips are those at scene changes and those at which nothing changes.
        at_changes = scores[method]["top-1 at scene changes"] * found.num_scene_changes
        assert 0 <= scores[method]["top-1"] * 6 - at_changes <= sum(same)
    assert set(found.verdicts()) == {"beats the same again", "beats most frequent next"}
    assert json.loads((tmp_path / "forecast.json").read_text())["scores"] == found.comparison.scores
    (tmp_path / "asked.csv").write_text("video_id\ngone\n")
    with pytest.raises(UserError, match=r"none of its 1 videos .* is in the documents"):
        evaluate_forecast(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_length": 65}, r"--row-length 65: .*model takes 64"),
        ({"model": "nowhere"}, "nowhere: no checkpoint"),
        ({"annotations": "nothing.csv"}, "nothing.csv: cannot be read"),
        ({"tables": "elsewhere"}, "elsewhere"),
        ({"dataset": "coco"}, "--dataset coco: must be records"),
        ({"annotations": "others.jsonl"}, r"none of its 1 videos \(such as gone\) is in the documents"),
        ({"annotations": "plain.jsonl"}, "no annotation has `labels`"),
        ({"annotations": "few.jsonl"}, r"examples to train on and 0 to\s+validate on are too few"),
    ],
)
def test_what_a_user_can_get_wrong_is_said_before_training(
    changes: dict[str, Any],
    message: str,
    corpus: Path,
    joined: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    for name, row in {
        "others": {"video_id": "gone", "labels": ["a"]},
        "plain": {"video_id": "cooking-1", "question": "what?"},
        "few": {"video_id": "cooking-1", "labels": ["a"], "split": "train"},
    }.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    options: dict[str, Any] = {
        "task": "classification",
        "tables": str(corpus / "tables"),
        "model": str(corpus / "model"),
        "annotations": str(corpus / "annotations.jsonl"),
        "output": str(tmp_path / "run"),
        "row_length": 64,
    }
    with pytest.raises(UserError, match=message):
        finetune(FinetuneConfig(**(options | changes)))
