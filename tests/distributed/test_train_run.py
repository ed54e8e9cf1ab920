"""What a run says of how it was made."""

import shlex

import pytest
import tyro

from vbert.distributed.finetune import FinetuneConfig
from vbert.distributed.pretrain import PretrainConfig
from vbert.distributed.train_run import TrainingOptions, command_of
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
