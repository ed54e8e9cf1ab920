"""What workers do, in this process: none starts, which takes ten seconds where it imports torch, and coverage
sees what it does. Training is by Ray Train's local mode."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray.train
from ray import cloudpickle
from ray.train.torch import TorchTrainer

from vbert.distributed import actors, assign_tokens, train_run


@dataclass
class Result:
    """What jobs read of Ray Train's own."""

    best_checkpoints: list[tuple[ray.train.Checkpoint, dict[str, Any]]]
    error: Exception | None = None


class TrainerHere:
    """Takes the place of `train_run.Trainer`: one worker, in this process. What it reports is kept, the
    latest three."""

    def __init__(
        self, worker: Any, *, train_loop_config: Mapping[str, Any], scaling_config: Any, run_config: Any
    ) -> None:
        self._folder = Path(run_config.storage_path) / run_config.name
        here = ray.train.ScalingConfig(num_workers=0)
        self._trainer = TorchTrainer(worker, train_loop_config=dict(train_loop_config), scaling_config=here)

    def fit(self) -> Result:
        """Train to the last step."""
        reported: list[tuple[ray.train.Checkpoint, dict[str, Any]]] = []

        def report(metrics: dict[str, Any], checkpoint: ray.train.Checkpoint) -> None:
            folder = self._folder / f"checkpoint_{len(reported)}"
            shutil.copytree(checkpoint.path, folder)
            reported.append((ray.train.Checkpoint(folder), metrics))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ray.train, "report", report)
            self._trainer.fit()
        return Result(reported[-3:])


def train_here(patch: pytest.MonkeyPatch) -> None:
    """Have every training of this process done here."""
    patch.setattr(train_run, "Trainer", TrainerHere)


def _outcome_refs_here(
    kind: type[Any], blocks: Iterable[pa.Table], *, arguments: Mapping[str, Any], **_: Any
) -> Iterator["ray.ObjectRef[pa.Table]"]:
    """Takes the place of `actors.outcome_refs`: one worker, which gets what would reach an actor."""
    kind, arguments = cloudpickle.loads(cloudpickle.dumps((kind, arguments)))
    worker = kind(**arguments)
    for block in blocks:
        made = worker(block)
        yield ray.put(made if isinstance(made, pa.Table) else pa.concat_tables(made))


def work_here(patch: pytest.MonkeyPatch) -> None:
    """Have what actors do of every later job of this process done here."""
    for module in (actors, assign_tokens):
        patch.setattr(module, "outcome_refs", _outcome_refs_here)
