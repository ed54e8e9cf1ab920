from pathlib import Path

import fsspec
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vbert.training.metrics_log import MetricsLog, read_metrics


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
