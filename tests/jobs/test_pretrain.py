"""The pretraining job as its users run it: workers, kills and resumption, on a local Ray cluster."""

import itertools
import json
import math
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import torch
from ray.cluster_utils import Cluster
from torch import Tensor, nn

from tests.conftest import Run
from tests.cooking_tables import cooking_tables
from tests.job_process import Job, finish, start_job
from tests.ray_nodes import cluster_of, workers_of
from tests.table_rows import compact, make_old
from tests.tiny import FOODS, NUM_VISUAL_TOKENS, NUM_WORD_PIECES, bert_folder, cooking
from tests.training_here import train_here, work_here
from vbert.distributed.evaluate_forecast import ForecastConfig, evaluate_forecast
from vbert.distributed.evaluate_zero_shot import ZeroShotConfig, evaluate_zero_shot
from vbert.distributed.pretrain import pretrain
from vbert.distributed.pretrain_config import PretrainConfig
from vbert.documents.sequences import SequenceConfig
from vbert.errors import UserError
from vbert.model.encoders import ModelConfig
from vbert.storage.files import filesystem_of
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS
from vbert.tables.vacuum import vacuum
from vbert.training.checkpoints import load_pretrained
from vbert.training.metrics_log import read_metrics
from vbert.training.pretraining import Pretraining
from vbert.vocabulary.tree import Vocabulary, save

NUM_STEPS = 24
NUM_VIDEOS = 48


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Documents of 48 cooking videos in two files, their vocabulary, and a small BERT."""
    root = tmp_path_factory.mktemp("pretrain")
    vocabulary = cooking_tables(str(root / "tables"), num_videos=NUM_VIDEOS)
    return {"tables": str(root / "tables"), "vocabulary": vocabulary, "bert": bert_folder(root / "bert")}


def options_of(corpus: dict[str, str], output: Path | str) -> list[str]:
    """A run of 24 steps; its paths relative to the corpus."""
    root = Path(corpus["tables"]).parent
    return [
        *("--tables", "tables", "--vocabulary", os.path.relpath(corpus["vocabulary"], root)),
        *("--model.bert", "bert", "--output", str(output), "--num-steps", str(NUM_STEPS)),
        *("--data-streams", "4", "--rows-per-step", "8", "--sequences.row-length", "64"),
        *("--log-every", "1", "--checkpoint-every", "5", "--validation-share", "0.2"),
    ]


@dataclass
class Undisturbed:
    """A run of one worker that nothing happened to."""

    output: Path
    lines: list[dict[str, Any]]
    said: str


@pytest.fixture
def undisturbed(
    corpus: dict[str, str],
    joined: None,
    run_job: Run,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kept: dict[str, Undisturbed],
) -> Undisturbed:
    """Its worker is this process: what others do in theirs is compared with it."""
    if "run" not in kept:
        train_here(monkeypatch)
        monkeypatch.chdir(Path(corpus["tables"]).parent)
        output = tmp_path_factory.mktemp("undisturbed") / "run"
        assert run_job("pretrain", *options_of(corpus, output)) == 0
        monkeypatch.undo()
        kept["run"] = Undisturbed(output, losses(output), capsys.readouterr().out)
    return kept["run"]


@pytest.fixture(scope="module")
def kept() -> dict[str, Undisturbed]:
    """The undisturbed run, once there is one."""
    return {}


def losses(output: Path | str) -> list[dict[str, Any]]:
    """Of each step: its number, losses, accuracies, and how far the data is; without what takes time."""
    kept = ("step", "train/loss", "train/accuracy", "train/epoch", "validation/")
    return [
        {name: value for name, value in line.items() if name.startswith(kept)}
        for line in read_metrics(str(output))
    ]


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]], *, tolerance: float) -> None:
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=tolerance, rel=tolerance)


@pytest.mark.slow
def test_what_a_run_says_and_leaves(undisturbed: Undisturbed):
    lines = undisturbed.lines
    steps = [line["step"] for line in lines if "train/loss" in line]
    assert steps == list(range(1, NUM_STEPS + 1))
    validated = {line["step"]: line for line in lines if "validation/loss" in line}
    assert list(validated) == [5, 10, 15, 20, 24]
    assert 0 < validated[24]["validation/loss"] < validated[5]["validation/loss"], "it learns"

    found = load_pretrained(str(undisturbed.output / "model"))
    assert found.model.config.num_visual_tokens == NUM_VISUAL_TOKENS
    assert found.vocabulary.describe([101, NUM_WORD_PIECES, NUM_WORD_PIECES + 1]) == "[CLS] [>] v0"
    # Training and validation share no video, and together have all.
    said = undisturbed.said.splitlines()
    numbers = {line.split()[0]: int(line.split()[-1]) for line in said if " videos  " in line}
    assert numbers["training"] + numbers["validation"] == NUM_VIDEOS
    assert numbers["validation"] > 3
    assert list((undisturbed.output / "tensorboard").iterdir())
    metrics = read_metrics(str(undisturbed.output))[0]
    for name in ("useful_tokens_per_second", "useful_token_share", "mfu", "data_wait_share", "learning_rate"):
        assert metrics[f"train/{name}"] > 0
    assert metrics["train/useful_token_share"] <= 1


class Started(Exception):
    """A job asked for its cluster."""


@pytest.mark.slow
def test_a_run_that_is_finished_says_so_again_without_a_cluster_and_without_its_documents(
    corpus: dict[str, str],
    undisturbed: Undisturbed,
    run_job: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Vacuum takes their version, once no run pins it."""

    def connect(**_: object) -> None:
        raise Started

    def told(said: str) -> list[str]:
        return [
            line for line in said.splitlines() if re.match("  (training|validation|documents|model)", line)
        ]

    monkeypatch.setattr("vbert.distributed.pretrain.connect", connect)
    monkeypatch.chdir(Path(corpus["tables"]).parent)
    command = ("pretrain", *options_of(corpus, undisturbed.output))
    documents = Path(corpus["tables"], "documents")
    with moved_away(documents):
        assert run_job(*command) == 0
    said = capsys.readouterr().out
    assert f"pretrain: {NUM_STEPS} steps, finished before" in said.splitlines()
    assert told(said) == told(undisturbed.said)
    assert len(told(said)) > 5
    with moved_away(undisturbed.output / "model" / "progress.json"), pytest.raises(Started):
        run_job(*command)  # its model is left again
    (tmp_path / "others.csv").write_text("video_id\ncooking-1\n")
    assert run_job(*command, "--held-out", tmp_path / "others.csv") == 2
    assert "holds a run with other videos in --held-out" in capsys.readouterr().err
    centroids = [torch.ones(3**level, 3, 8) for level in range(3)]
    others = save(Vocabulary(featurizer="fake", centroids=centroids), str(tmp_path))
    at = command.index("--vocabulary") + 1
    assert run_job(*command[:at], others, *command[at + 1 :]) == 2
    begun = Path(corpus["vocabulary"]).name
    assert f"holds a run with --vocabulary {begun}, and not {Path(others).name};" in capsys.readouterr().err


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Nothing is where it was, for a while."""
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


@pytest.mark.slow
def test_its_model_fills_in_verbs_and_objects(
    corpus: dict[str, str], undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    work_here(monkeypatch)
    found = evaluate_zero_shot(
        ZeroShotConfig(
            tables=corpus["tables"],
            model=str(undisturbed.output / "model"),
            clips=clips_file(tmp_path),
            output=str(tmp_path / "zero-shot.json"),
        )
    )
    assert (found.num_clips, found.num_missing, found.num_verbs, found.num_objects) == (8, 1, 1, 2)
    assert found.scores["cross-modal"]["verb top-1"] == 1.0  # of one verb
    assert found.scores["cross-modal"]["object top-5"] == 1.0  # of two objects
    assert json.loads((tmp_path / "zero-shot.json").read_text())["scores"] == found.scores


@pytest.mark.slow
def test_a_model_of_features_fills_in_words_but_knows_no_visual_tokens(
    corpus: dict[str, str], joined: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train_here(monkeypatch)
    work_here(monkeypatch)
    clips = clips_file(tmp_path)
    summary = pretrain(
        PretrainConfig(
            tables=corpus["tables"],
            vocabulary=corpus["vocabulary"],
            output=str(tmp_path / "run"),
            visual_input="features",
            num_steps=4,
            data_streams=2,
            rows_per_step=8,
            checkpoint_every=3,
            log_every=2,
            gradient_checkpointing=True,
            held_out=clips,
            model=ModelConfig(bert=corpus["bert"], contrastive_weight=1.0),
            sequences=SequenceConfig(row_length=64),
        )
    )
    assert summary.num_training_videos + summary.num_validation_videos == NUM_VIDEOS
    lines = read_metrics(summary.model.removesuffix("/model"))
    assert {"validation/loss/features", "validation/loss/contrastive"} <= set(lines[-1])
    assert [line["step"] for line in lines if "train/loss" in line] == [2, 3, 4]
    found = evaluate_zero_shot(ZeroShotConfig(tables=corpus["tables"], model=summary.model, clips=clips))
    assert (found.num_clips, found.num_missing) == (8, 1)
    assert found.scores["cross-modal"]["object top-5"] == 1.0  # of two objects
    with pytest.raises(UserError, match="knows no visual tokens"):
        evaluate_forecast(ForecastConfig(tables=corpus["tables"], model=summary.model, videos=clips))


def clips_file(folder: Path) -> str:
    """Eight labelled clips of four videos, and one of a video that is not there."""
    rows = [
        f"cooking-{n},{6 * at},{6 * at + 6},cut,{food}" for n in range(4) for at, food in enumerate(FOODS[:2])
    ]
    file = folder / "clips.csv"
    file.write_text("\n".join(["video_id,start_seconds,end_seconds,verb,object", *rows, "gone,0,1,cut,egg"]))
    return str(file)


@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.seconds(120)  # six workers start, each of which imports torch for ten seconds
def test_a_run_that_loses_a_node_and_its_driver_has_the_losses_of_one_that_loses_nothing(
    corpus: dict[str, str],
    undisturbed: Undisturbed,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Three workers on two nodes, of which one dies with what runs there: two go on. Their driver is killed,
    the daily jobs come by, and the same command goes on with one. No sequence is lost, none comes twice; all
    of it in a bucket."""
    # Ray's own are 60: it tries for so long to place three before it hears that the node is gone.
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "5")
    output = f"{bucket}/runs/first"
    folder = tmp_path / "corpus"
    shutil.copytree(Path(corpus["tables"]).parent, folder)

    def start(cluster: Cluster, *options: str) -> Job:
        return start_job(
            "pretrain",
            *options_of(corpus, output),
            *options,
            folder=folder,
            address=cluster.address,
        )

    # Workers ask for half a CPU, and what builds their batches for none: a node has room for two.
    with cluster_of({"num_cpus": 1}, head={"num_cpus": 1}) as cluster:
        job = start(cluster, "--num-workers", "3", "--min-workers", "1")
        wait_for_step(output, 8, job)
        before = {process.pid for process in training_workers(cluster)}
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        # From the checkpoint of step 5, with which it begins anew, to one that two have made.
        wait_for_step(output, 12, job)
        after = {process.pid for process in training_workers(cluster)} - before
        os.killpg(job.pid, signal.SIGKILL)
        job.ended()
        append_compact_and_vacuum(str(folder / "tables"), Path(corpus["vocabulary"]).name)
        finish(start(cluster, "--num-workers", "1"))
    assert (len(before), len(after)) == (3, 2)
    assert_same(losses(output), undisturbed.lines, tolerance=1e-4)
    assert load_pretrained(f"{output}/model").progress["step"] == NUM_STEPS
    # Of the checkpoints the best three and the last are kept.
    filesystem, path = filesystem_of(output)
    checkpoints = {name.split("/")[3] for name in filesystem.find(path) if "/checkpoint_2" in name}
    assert 3 <= len(checkpoints) <= 4


def append_compact_and_vacuum(tables: str, vocabulary: str) -> None:
    """As build_documents and compact_tables do, a month after the run began."""
    table = Table(tables, DOCUMENTS)
    committer = Committer(table, partition=vocabulary)
    rows = [cooking(NUM_VIDEOS + number) | {"vocabulary": vocabulary} for number in range(16)]
    committer.commit([table.write_file(pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))])
    (version,) = compact(table, partition=vocabulary)
    assert version is not None
    make_old(table, hours=30 * 24)
    assert len(vacuum(Table(tables, DOCUMENTS), retention_hours=1)) == 1, "what no version of the run names"


@pytest.mark.slow
def test_a_bad_step_is_skipped_and_a_model_that_diverges_is_trained_no_further(
    corpus: dict[str, str],
    joined: None,
    run_job: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    train_here(monkeypatch)
    monkeypatch.chdir(Path(corpus["tables"]).parent)
    outcome = Pretraining.outcome
    num_passes = itertools.count()

    def bad(self: Pretraining, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        parts, cells = outcome(self, model, inputs)
        step = next(num_passes) // 2 + 1 if model.training else 0  # of two micro-batches each
        return (parts * torch.nan if step == 2 or step >= 7 else parts), cells

    monkeypatch.setattr(Pretraining, "outcome", bad)
    options = options_of(corpus, tmp_path / "run")
    assert run_job("pretrain", *options, "--num-steps", "40", "--tokens-per-micro-batch", "256") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: {tmp_path}/run: the loss has not been finite for 20 steps up to step 26;")
    lines = [line for line in read_metrics(str(tmp_path / "run")) if "train/skipped_steps" in line]
    skipped = [line["train/skipped_steps"] for line in lines]
    assert skipped == [float(line["step"] == 2 or line["step"] >= 7) for line in lines]
    assert all(math.isfinite(line["train/loss"]) for line in lines if not line["train/skipped_steps"])
    assert load_pretrained(str(tmp_path / "run" / "checkpoint_0")).progress["step"] == 5


def wait_for_step(output: str, step: int, job: Job) -> None:
    """Until the run has logged a step, which is one beyond its last checkpoint."""
    deadline = time.monotonic() + 400
    while not any(line["step"] >= step for line in read_metrics(output)):
        assert job.poll() is None, f"the job ended before that step:\n{job.said()}"
        assert time.monotonic() < deadline, f"the job does not come to that step:\n{job.said()}"
        time.sleep(0.3)  # each look asks the bucket, whose server takes CPU from the run


def training_workers(cluster: Cluster) -> list[psutil.Process]:
    """The processes of the run's workers."""
    return workers_of(cluster, "RayTrainWorker")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sequences": SequenceConfig(row_length=128)}, "--sequences.row-length 128: .* takes 64"),
        (
            {"data_streams": 32, "rows_per_step": 32},
            "48 videos to train on are too few for --data-streams",
        ),
        (
            {
                "model": ModelConfig(contrastive_weight=1),
                "sequences": SequenceConfig(text_weight=0, video_weight=0),
            },
            "--model.contrastive-weight 1: pairs are made of what goes alone",
        ),
        ({"held_out": "{root}/nothing.csv"}, "nothing.csv: cannot be read as a .csv list of videos"),
        ({"documents_version": 99}, "no version 99"),
        ({"tables": "{root}/elsewhere"}, "elsewhere"),
        ({"model": ModelConfig(bert="/no/such/bert")}, "--model.bert /no/such/bert"),
        ({"output": "{root}/begun", "seed": 2}, "begun: holds a run with --seed 1, and not 2"),
    ],
)
def test_what_does_not_fit_together_is_said_before_anything_starts(
    corpus: dict[str, str], tmp_path: Path, changes: dict[str, Any], said: str
):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "options.json").write_text('{"seed": 1, "documents_version": 1}')
    placed = {
        name: value.format(root=tmp_path) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    options: dict[str, Any] = {
        "tables": corpus["tables"],
        "vocabulary": corpus["vocabulary"],
        "output": str(tmp_path / "run"),
        "validation_share": 0.0,
        "model": ModelConfig(bert=corpus["bert"]),
        "sequences": SequenceConfig(row_length=64),
    }
    with pytest.raises(UserError, match=said):
        pretrain(PretrainConfig(**(options | placed)))
    assert not (tmp_path / "run").exists()
