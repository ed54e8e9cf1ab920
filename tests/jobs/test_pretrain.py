"""The pretraining job as its users run it: workers, kills and resumption, on a local Ray cluster."""

import json
import os
import pickle
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
import ray.train
from ray.train.torch import TorchTrainer

from tests.cooking_tables import cooking_tables
from tests.job_process import Job, finish, start_job
from tests.object_store import ObjectStore, make_bucket, object_store
from tests.ray_nodes import cluster_of, workers_of
from tests.tiny import FOODS, NUM_VISUAL_TOKENS, bert_folder
from vbert.distributed import pretrain as ray_pretrain
from vbert.distributed.cluster import connect
from vbert.distributed.evaluate_zero_shot import ZeroShotConfig, evaluate_zero_shot
from vbert.distributed.pretrain import PretrainConfig, pretrain
from vbert.documents.sequences import SequenceConfig
from vbert.errors import UserError
from vbert.model.encoders import ModelConfig
from vbert.training.checkpoints import load_pretrained
from vbert.training.metrics_log import read_metrics

# Three workers that import torch on two slow cores take minutes to start, and start twice.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NUM_STEPS = 24
NUM_VIDEOS = 48

Start = Callable[..., Job]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Documents of 48 cooking videos in two files, their vocabulary, and a small BERT."""
    root = tmp_path_factory.mktemp("pretrain")
    vocabulary = cooking_tables(str(root / "tables"), num_videos=NUM_VIDEOS)
    return {"tables": str(root / "tables"), "vocabulary": vocabulary, "bert": bert_folder(root / "bert")}


@pytest.fixture
def start(corpus: dict[str, str], ray_cluster: str) -> Start:
    def start(
        output: Path | str, *options: str, address: str = ray_cluster, store: ObjectStore | None = None
    ) -> Job:
        root = Path(corpus["tables"]).parent
        sizes = [
            "--num-steps",
            str(NUM_STEPS),
            "--data-streams",
            "4",
            "--rows-per-step",
            "8",
            "--log-every",
            "1",
        ]
        return start_job(
            "pretrain",
            *("--tables", "tables", "--model.bert", "bert"),
            *("--output", os.path.relpath(output, root) if isinstance(output, Path) else output),
            *("--vocabulary", os.path.relpath(corpus["vocabulary"], root), *sizes),
            *("--checkpoint-every", "5", "--sequences.row-length", "64", "--validation-share", "0.2"),
            *options,
            folder=root,
            address=address,
            workers_environment=store.environment if store else None,
        )

    return start


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, list[dict[str, Any]]]:
    """The lines of the run of one worker that nothing happened to, once there is one."""
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


def wait_for_step(output: Path | str, step: int, job: Job) -> None:
    """Until the run has logged a step, which is one beyond its last checkpoint."""
    deadline = time.monotonic() + 400
    while not any(line["step"] >= step for line in read_metrics(str(output))):
        assert job.poll() is None, f"the job ended before that step:\n{job.said()}"
        assert time.monotonic() < deadline, f"the job does not come to that step:\n{job.said()}"
        time.sleep(0.02)


def training_workers() -> list[psutil.Process]:
    """The processes of the workers of the run, of which there is one at a time."""
    found = [
        p for p in psutil.process_iter(["cmdline"]) if "RayTrainWorker" in " ".join(p.info["cmdline"] or [])
    ]
    assert found
    return found


def test_one_worker_and_what_a_run_leaves(start: Start, tmp_path: Path, undisturbed: dict[str, Any]):
    said = finish(start(tmp_path / "run"))
    undisturbed["lines"] = losses(tmp_path / "run")
    steps = [line["step"] for line in undisturbed["lines"] if "train/loss" in line]
    assert steps == list(range(1, NUM_STEPS + 1))
    validated = [line["step"] for line in undisturbed["lines"] if "validation/loss" in line]
    assert validated == [5, 10, 15, 20, 24]
    assert undisturbed["lines"][-1]["validation/loss"] > 0
    first, last = (
        line for line in undisturbed["lines"] if line["step"] in (5, 24) and "validation/loss" in line
    )
    assert last["validation/loss"] < first["validation/loss"], "it learns"

    found = load_pretrained(str(tmp_path / "run" / "model"))
    assert found.model.config.num_visual_tokens == NUM_VISUAL_TOKENS
    assert found.vocabulary.describe([101, 30_522, 30_523]) == "[CLS] [>] v0"
    # Training and validation share no video, and together have all.
    numbers = {line.split()[0]: int(line.split()[-1]) for line in said.splitlines() if " videos  " in line}
    assert numbers["training"] + numbers["validation"] == NUM_VIDEOS
    assert numbers["validation"] > 3
    # Of the checkpoints the best three and the last are kept.
    checkpoints = list((tmp_path / "run").glob("checkpoint_2*"))
    assert 3 <= len(checkpoints) <= 4
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    metrics = read_metrics(str(tmp_path / "run"))[0]
    for name in ("useful_tokens_per_second", "useful_token_share", "mfu", "data_wait_share", "learning_rate"):
        assert metrics[f"train/{name}"] > 0
    assert metrics["train/useful_token_share"] <= 1


def test_an_elastic_run_that_loses_a_node_has_the_losses_of_one_worker(
    start: Start, tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """Three workers on two nodes that have room for two each; a node dies, and two go on."""
    # Ray's own are 60: it tries for so long to place three before it hears that the node is gone.
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "5")
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        job = start(tmp_path / "run", "--num-workers", "3", "--min-workers", "1", address=cluster.address)
        wait_for_step(tmp_path / "run", 8, job)
        before = {process.pid for process in workers_of(cluster, "RayTrainWorker")}
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        num_after = 0
        deadline = time.monotonic() + 400
        while job.poll() is None:
            assert time.monotonic() < deadline, job.said()
            after = {process.pid for process in workers_of(cluster, "RayTrainWorker")} - before
            num_after = max(num_after, len(after))
            time.sleep(0.2)
        finish(job)
    assert (len(before), num_after) == (3, 2)
    assert_same(losses(tmp_path / "run"), undisturbed["lines"], tolerance=1e-4)


def test_a_worker_killed_mid_epoch_costs_no_sequence(
    start: Start, tmp_path: Path, undisturbed: dict[str, Any]
):
    """The steps since the last checkpoint are done again, to the same losses: none is lost, none twice."""
    job = start(tmp_path / "run")
    wait_for_step(tmp_path / "run", 8, job)
    training_workers()[0].kill()
    finish(job)
    assert_same(losses(tmp_path / "run"), undisturbed["lines"], tolerance=1e-6)


def test_a_killed_driver_goes_on_with_the_same_command(
    start: Start, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """Even with another number of workers; here with its output in a bucket."""
    with object_store() as store:
        output = f"{make_bucket(store, monkeypatch)}/runs/first"
        job = start(output, store=store)
        wait_for_step(output, 12, job)
        os.killpg(job.pid, signal.SIGKILL)
        job.ended()
        finish(start(output, "--num-workers", "2", store=store))
        assert_same(losses(output), undisturbed["lines"], tolerance=1e-4)
        assert load_pretrained(f"{output}/model").progress["step"] == NUM_STEPS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sequences": SequenceConfig(row_length=128)}, "--sequences.row-length 128: .* takes 64"),
        (
            {"data_streams": 32, "rows_per_step": 32},
            "48 videos to train on are too few for --data-streams",
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


@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize("visual_input", ["tokens", "features"])
def test_a_run_in_this_process_and_its_model_evaluated(
    corpus: dict[str, str],
    ray_cluster: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visual_input: Literal["tokens", "features"],
):
    """Ray Train's local mode, so that a debugger and coverage see what a worker does."""
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster)
    connect()
    model = tmp_path / "model"

    def report(metrics: dict[str, float], checkpoint: ray.train.Checkpoint) -> None:
        shutil.copytree(checkpoint.path, model, dirs_exist_ok=True)

    monkeypatch.setattr(ray.train, "report", report)
    clips = tmp_path / "clips.csv"
    rows = [
        f"cooking-{n},{6 * at},{6 * at + 6},cut,{food}" for n in range(4) for at, food in enumerate(FOODS[:2])
    ]
    clips.write_text("\n".join(["video_id,start_seconds,end_seconds,verb,object", *rows, "gone,0,1,cut,egg"]))
    config = PretrainConfig(
        tables=corpus["tables"],
        vocabulary=corpus["vocabulary"],
        output=str(tmp_path / "run"),
        visual_input=visual_input,
        num_steps=6,
        data_streams=2,
        rows_per_step=8,
        checkpoint_every=4,
        log_every=2,
        gradient_checkpointing=True,
        held_out=str(clips),
        model=ModelConfig(bert=corpus["bert"]),
        sequences=SequenceConfig(row_length=64),
    )
    try:
        job, num_training = ray_pretrain._plan(config)
        assert num_training + len(job.validation_ids) == NUM_VIDEOS
        TorchTrainer(
            ray_pretrain.train_worker,
            train_loop_config={"job": pickle.dumps(job)},
            scaling_config=ray.train.ScalingConfig(num_workers=0),
        ).fit()
        lines = read_metrics(str(tmp_path / "run"))
        predicted = "loss/features" if visual_input == "features" else "loss/video/clips"
        assert f"validation/{predicted}" in lines[-1]
        assert [line["step"] for line in lines if "train/loss" in line] == [2, 4, 6]
        evaluation = ZeroShotConfig(
            tables=corpus["tables"],
            model=str(model),
            clips=str(clips),
            output=str(tmp_path / "zero-shot.json"),
        )
        if visual_input == "features":
            with pytest.raises(UserError, match="knows no visual tokens"):
                evaluate_zero_shot(evaluation)
            return
        found = evaluate_zero_shot(evaluation)
        assert (found.num_clips, found.num_missing, found.num_verbs, found.num_objects) == (8, 1, 1, 2)
        assert found.scores["cross-modal"]["verb top-1"] == 1.0  # of one verb
        assert found.scores["cross-modal"]["object top-5"] == 1.0  # of two objects
        assert json.loads((tmp_path / "zero-shot.json").read_text())["scores"] == found.scores
    finally:
        ray.shutdown()
