import importlib.util
import inspect
from pathlib import Path

import fsspec
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vbert.errors import UserError
from vbert.training.metrics_log import MetricsLog, read_metrics
from vbert.training.reporters import MLflow, WandB, reporters_of


def test_lines_and_curves_say_the_same(tmp_path: Path):
    log = MetricsLog(str(tmp_path), resumed_step=0)
    log.write(1, {"train/loss": 2.0})
    log.write(2, {"train/loss": 1.23456789})
    log.close()
    assert read_metrics(str(tmp_path)) == [{"step": 1, "train/loss": 2.0}, {"step": 2, "train/loss": 1.23457}]
    curves = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, round(event.value, 4)) for event in curves.Scalars("train/loss")] == [
        (1, 2.0),
        (2, 1.2346),
    ]


def test_what_was_logged_beyond_the_checkpoint_is_dropped(tmp_path: Path):
    log = MetricsLog(str(tmp_path), resumed_step=0)
    for step in (1, 2, 3):
        log.write(step, {"train/loss": float(step)})
    log.close()
    log = MetricsLog(str(tmp_path), resumed_step=2)
    log.write(3, {"train/loss": 30.0})
    log.close()
    assert [line["train/loss"] for line in read_metrics(str(tmp_path))] == [1.0, 2.0, 30.0]


def test_a_run_without_lines_has_none():
    assert read_metrics("memory://nowhere") == []
    fsspec.filesystem("memory").pipe_file("/run/metrics.jsonl", b'{"step": 4}\n')
    assert read_metrics("memory://run") == [{"step": 4}]


@pytest.mark.slow  # MLflow is imported
@pytest.mark.filterwarnings("ignore:.*:FutureWarning:mlflow")  # of its store of files
def test_a_run_that_goes_on_is_one_run_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    with pytest.raises(UserError, match=r"--report-to mlflow: file:.*maintenance mode"):
        MLflow(str(tmp_path / "first"), resumed_step=0)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for resumed_step, steps in ((0, (1, 2)), (2, (3,))):
        log = MetricsLog(str(tmp_path / "first"), resumed_step=resumed_step, report_to=[MLflow])
        for step in steps:
            log.write(step, {"train/loss": 4.0 / step, "train/learning_rate": 0.5})
        log.close()
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("vbert").experiment_id])
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    curve = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, round(point.value, 4)) for point in curve] == [(1, 4.0), (2, 2.0), (3, 1.3333)]
    assert run.data.metrics["train/learning_rate"] == 0.5


def test_weights_and_biases_gets_what_its_package_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its own service is not started: what it would be told is taken down."""
    import wandb

    told = []

    class Run:
        def log(self, metrics: dict[str, float], *, step: int) -> None:
            told.append((step, metrics))

        def finish(self) -> None:
            told.append("finished")

    takes = inspect.signature(wandb.init)

    def init(**options: str) -> Run:
        takes.bind(**options)
        told.append((options["project"], options["name"], options["resume"]))
        return Run()

    monkeypatch.setattr(wandb, "init", init)
    reporter = WandB(str(tmp_path / "first"), resumed_step=0)
    reporter.write(4, {"train/loss": 2.0})
    reporter.close()
    assert told == [("vbert", "first", "allow"), (4, {"train/loss": 2.0}), "finished"]


def test_what_is_reported_to_is_there_or_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    assert [reporter.__name__ for reporter in reporters_of("tensorboard,wandb")] == ["TensorBoard", "WandB"]
    assert reporters_of("none") == []
    with pytest.raises(
        UserError, match=r"--report-to tensorboard,comet: 'comet' is none of tensorboard, mlflow"
    ):
        reporters_of("tensorboard,comet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mlflow is not installed; run: pip install 'vbert\[mlflow\]'"):
        reporters_of("mlflow")
