"""Where metrics go beside metrics.jsonl: TensorBoard's files, MLflow, Weights & Biases.

One more is a subclass of Reporter and a line in REPORTERS.
"""

import importlib.util
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from vbert.errors import UserError, one_line
from vbert.tables.schemas import short_hash

PROJECT = "vbert"  # MLflow's experiment and W&B's project, where their own environment variables name none


class Reporter(ABC):
    """Takes the metrics of a run, one process's. `root` is the run's output, which names it: where a run goes
    on after a kill, so does its reporter, from the step of its checkpoint."""

    package: ClassVar[str]
    """What is imported."""

    @abstractmethod
    def __init__(self, root: str, *, resumed_step: int) -> None: ...

    @abstractmethod
    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a step's metrics, by names such as train/loss."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more will come."""


class TensorBoard(Reporter):
    """Files in `<output>/tensorboard`; what was written beyond the checkpoint is hidden."""

    package = "tensorboard"

    def __init__(self, root: str, *, resumed_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(f"{root.rstrip('/')}/tensorboard", purge_step=resumed_step + 1)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a step's metrics."""
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()

    def close(self) -> None:
        """Close the file."""
        self._board.close()


class MLflow(Reporter):
    """A run of the server or store in MLFLOW_TRACKING_URI, found again by a tag."""

    package = "mlflow"

    def __init__(self, root: str, *, resumed_step: int) -> None:
        import mlflow

        try:
            experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        except mlflow.MlflowException as error:
            raise UserError(f"--report-to mlflow: {mlflow.get_tracking_uri()}: {one_line(error)}") from error
        self._client = mlflow.MlflowClient()
        own = short_hash(root)
        found = self._client.search_runs([experiment.experiment_id], f"tags.{PROJECT} = '{own}'")
        name = root.rstrip("/").rpartition("/")[2]
        run = (
            found[0]
            if found
            else self._client.create_run(experiment.experiment_id, tags={PROJECT: own}, run_name=name)
        )
        self._run_id, self._metric = run.info.run_id, mlflow.entities.Metric

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a step's metrics."""
        now = int(1000 * time.time())
        self._client.log_batch(
            self._run_id, [self._metric(name, value, now, step) for name, value in metrics.items()]
        )

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run_id)


class WandB(Reporter):
    """A run of the project in WANDB_PROJECT; WANDB_MODE=offline keeps it in files."""

    package = "wandb"

    def __init__(self, root: str, *, resumed_step: int) -> None:
        import wandb

        name = root.rstrip("/").rpartition("/")[2]
        self._run: Any = wandb.init(
            project=wandb.env.get_project(PROJECT), id=short_hash(root), name=name, resume="allow"
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a step's metrics; W&B leaves out steps that it has had."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


REPORTERS: dict[str, type[Reporter]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}
NONE = "none"


def reporters_of(names: str) -> list[type[Reporter]]:
    """Those of `--report-to`, names with commas between them. UserError for one that there is not, or whose
    package is not installed."""
    found = []
    for name in names.split(",") if names != NONE else ():
        if name not in REPORTERS:
            raise UserError(f"--report-to {names}: {name!r} is none of {', '.join(REPORTERS)} and {NONE}")
        if importlib.util.find_spec(REPORTERS[name].package) is None:
            raise UserError(f"--report-to {names}: {name} is not installed; run: pip install 'vbert[{name}]'")
        found.append(REPORTERS[name])
    return found
