"""What a run says of how it was made."""

import json
import shlex
from pathlib import Path

import pytest
import tyro

from vbert.distributed.finetune import FinetuneConfig
from vbert.distributed.pretrain_config import PretrainConfig
from vbert.distributed.train_run import (
    KNOWN_CHECKPOINTS,
    TrainingOptions,
    command_of,
    facts_if_finished,
    note_finished,
    remove_unknown_checkpoints,
)
from vbert.documents.sequences import SequenceConfig
from vbert.model.encoders import ModelConfig
from vbert.tasks.base import TaskOptions
from vbert.training.optimization import OptimizerConfig


@pytest.mark.parametrize(
    ("job", "config"),
    [
        ("pretrain", PretrainConfig(tables="t", vocabulary="v", output="runs/first")),
        (
            "pretrain",
            PretrainConfig(
                tables="it's here",
                vocabulary="s3://b/v",
                output="o",
                num_workers=2,
                compile=True,
                report_to="none",
                documents_version=7,
                model=ModelConfig(random_init=True, dropout=0.25),
                optimizer=OptimizerConfig(learning_rate=3e-4),
                sequences=SequenceConfig(row_length=64),
            ),
        ),
        (
            "finetune",
            FinetuneConfig(
                task="classification",
                tables="t",
                model="m",
                annotations="a.csv",
                output="o",
                freeze_encoder=True,
                options=TaskOptions(multi_label=True, num_answers=3),
            ),
        ),
    ],
)
def test_the_command_of_a_run_asks_for_the_same_run(job: str, config: TrainingOptions):
    words = shlex.split(command_of(job, config))
    assert words[:2] == ["vbert", job]
    assert tyro.cli(type(config), args=words[2:]) == config


def test_only_what_differs_from_the_defaults_is_said():
    config = PretrainConfig(tables="t", vocabulary="v", output="o", seed=3)
    assert command_of("pretrain", config) == "vbert pretrain --output o --seed 3 --tables t --vocabulary v"


def test_checkpoints_that_ray_does_not_know_go_and_others_stay(tmp_path: Path):
    for name in ("checkpoint_1", "checkpoint_12", "checkpoint_2", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"x")
    remove_unknown_checkpoints(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 4, "Ray knows of none: it may have lost its note"
    note = {
        "checkpoint_results": [{"checkpoint_dir_name": name} for name in ("checkpoint_12", "checkpoint_2")]
    }
    (tmp_path / KNOWN_CHECKPOINTS).write_text(json.dumps(note))
    remove_unknown_checkpoints(str(tmp_path))
    left = {path.name for path in tmp_path.iterdir()} - {KNOWN_CHECKPOINTS}
    assert left == {"checkpoint_12", "checkpoint_2", "model"}


def test_a_run_is_finished_that_has_done_what_is_asked_and_left_its_model(tmp_path: Path):
    run, asked = str(tmp_path), {"num_steps": 3, "held_out": None}
    note_finished(run, asked=asked, facts={"metrics": {"loss": 1.0}})
    assert facts_if_finished(run, asked=asked) is None, "no model"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "progress.json").write_text("{}")
    assert facts_if_finished(run, asked=asked) == {"metrics": {"loss": 1.0}}
    assert facts_if_finished(run, asked=asked | {"num_steps": 4}) is None
    (tmp_path / "finished.json").write_text('{"num_steps": 3, "metrics": {"loss": 1.0}}')
    assert facts_if_finished(run, asked=asked) is None, "it does not say what it was asked"
