"""The loop of a Ray Train worker: steps, lines of metrics, validation, checkpoints, going on after a kill."""

import math
import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.train.torch
import torch
from ray import train
from torch import Tensor, nn

from vbert.documents.data_streams import streams_of_worker
from vbert.documents.sequences import Batch
from vbert.model.checkpoint_files import read_progress
from vbert.model.encoders import quiet_transformers
from vbert.progress import Progress
from vbert.storage.files import write_json, writing
from vbert.training.checkpoints import load_optimizer, save_checkpoint
from vbert.training.compilation import checkpoint_activations, compile_model
from vbert.training.job import DIVERGED, MAX_SKIPPED_STEPS, TrainingJob
from vbert.training.metrics_log import MetricsLog
from vbert.training.objective import Objective, Tally, evaluate_batches, train_step
from vbert.training.optimization import learning_rate_at, make_optimizer, uses_bf16
from vbert.training.parallel import parallelize
from vbert.training.reporters import reporters_of


class Interval:
    """What is summed up between two lines of the log; on the device, which nobody waits for before that."""

    def __init__(self, tally: Tally, skipped_in_a_row: Tensor) -> None:
        self.tally, self.skipped_in_a_row = tally, skipped_in_a_row
        self.start_seconds = time.monotonic()
        self.waited_seconds = 0.0
        self.num_steps = 0
        self.num_skipped = torch.zeros_like(skipped_in_a_row)
        # Of the last gradient that was finite.
        self.norm = torch.zeros((), device=skipped_in_a_row.device)

    def add(self, tally: Tally, norm: Tensor) -> None:
        """A step, which was skipped if its gradient is not finite: of such a one the work counts, no loss."""
        self.num_steps += 1
        is_finite = norm.isfinite()
        self.norm = torch.where(is_finite, norm, self.norm)
        self.num_skipped = self.num_skipped + ~is_finite
        self.skipped_in_a_row = torch.where(is_finite, 0, self.skipped_in_a_row + 1)
        self.tally = self.tally + replace(tally, cells=torch.where(is_finite, tally.cells, 0))


class TrainingLoop(ABC):
    """One process of a training. A subclass says what is trained, on what."""

    objective: Objective

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        context = train.get_context()
        self.rank, self.num_workers = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        if self.device.type == "cpu":
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
        self.streams = streams_of_worker(self.rank, num_workers=self.num_workers, num_streams=job.num_streams)
        self.most_streams = -(-job.num_streams // self.num_workers)  # of a worker
        self.num_passes = self.most_streams
        checkpoint = train.get_checkpoint()
        if checkpoint is None:
            self.step = 0
            self._prepare(self.new_model())
            self.start({})
        else:
            with checkpoint.as_directory() as folder:
                progress = read_progress(Path(folder))
                with quiet_transformers():
                    self._prepare(self.open_model(folder))
                load_optimizer(Path(folder), self.model, self.optimizer)
            self.step = progress["step"]
            self.start(progress)
        self.validation = self.validation_batches()
        self.log = None
        if self.rank == 0:
            report_to = reporters_of(job.report_to)
            self.log = MetricsLog(job.output, resumed_step=self.step, report_to=report_to)

    @abstractmethod
    def new_model(self) -> Any:
        """The model of step 0, the same on every worker."""

    @abstractmethod
    def open_model(self, folder: str) -> Any:
        """The model of a checkpoint."""

    @abstractmethod
    def start(self, progress: Mapping[str, Any]) -> None:
        """Find the place in the data: that of a checkpoint's progress, or the beginning if it is empty."""

    @abstractmethod
    def next_batches(self) -> dict[int, Batch]:
        """This worker's micro-batches of the next step, numbered; no worker has more than `num_passes`."""

    @abstractmethod
    def validation_batches(self) -> list[Batch]:
        """What is validated on, always the same."""

    @abstractmethod
    def facts(self) -> tuple[str, dict[str, Any]]:
        """A checkpoint's tokenizer as JSON, and what its progress.json says beyond step and validation. All
        workers call it together."""

    def speeds(self, tally: Tally, seconds: float) -> dict[str, float]:
        """More metrics of some steps; `tally` is that of all workers."""
        return {"useful_tokens_per_second": float(tally.positions[0]) / seconds}

    def close(self) -> None:
        """Let go of the data."""
        return

    def prepare_model(self, model: Any) -> None:
        """What else is to be done with a model before it is compiled and wrapped."""
        return

    def _prepare(self, model: Any) -> None:
        model.to(self.device).train()
        self.prepare_model(model)
        if self.job.gradient_checkpointing:
            checkpoint_activations(model)
        if self.job.compile:
            compile_model(model, self.job.strategy, layers=model.bert.encoder.layer)
        self.config = model.config
        self.encoder_size = sum(p.numel() for p in model.bert.encoder.parameters())
        self.model: nn.Module = parallelize(
            model,
            self.job.strategy,
            layers=model.bert.encoder.layer,
            in_bf16=uses_bf16(self.device, self.job.precision),
        )
        self.optimizer = self.make_optimizer()

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Of the wrapped model."""
        return make_optimizer(self.model, self.job.optimizer)

    def train(self) -> None:
        """From where the checkpoint was to the last step."""
        job = self.job
        progress = Progress(job.name, total=job.num_steps, unit="steps")
        progress.resume(self.step)
        interval = self._interval(torch.zeros((), dtype=torch.int64, device=self.device))
        while self.step < job.num_steps:
            before = time.monotonic()
            batches = self.next_batches()
            interval.waited_seconds += time.monotonic() - before
            interval.add(
                *train_step(
                    self.objective,
                    self.model,
                    self.optimizer,
                    batches,
                    job.optimizer,
                    step=self.step,
                    num_steps=job.num_steps,
                    seed=job.seed,
                    device=self.device,
                    precision=job.precision,
                    num_passes=self.num_passes,
                )
            )
            self.step += 1
            is_last = self.step == job.num_steps
            is_due = is_last or self.step % job.checkpoint_every == 0
            if is_due or self.step % job.log_every == 0:
                metrics = self._metrics(interval)
                if self.rank == 0:
                    loss = metrics.get("loss", math.nan)
                    progress.advance(interval.num_steps, note=f"loss {loss:.3f}")
                self._log({f"train/{name}": value for name, value in metrics.items()})
                if int(interval.skipped_in_a_row) >= MAX_SKIPPED_STEPS:
                    self._give_up()
                    break
                if is_due:
                    self._checkpoint()
                interval = self._interval(interval.skipped_in_a_row)
        self.close()
        if self.log:
            self.log.close()

    def _interval(self, skipped_in_a_row: Tensor) -> Interval:
        return Interval(Tally.empty(self.objective.names, self.device), skipped_in_a_row)

    def _give_up(self) -> None:
        """Leave word for the driver, which no error does: Ray would start all workers again, to no avail."""
        if self.rank == 0:
            write_json(f"{self.job.output.rstrip('/')}/{DIVERGED}", {"step": self.step})

    def _metrics(self, interval: Interval) -> dict[str, float]:
        """Of the steps since the last line, over all workers."""
        tally = interval.tally.over_workers()  # waits for the device: only then is the time right
        seconds = time.monotonic() - interval.start_seconds
        rate = learning_rate_at(self.step - 1, self.job.optimizer, num_steps=self.job.num_steps)
        num_skipped = int(interval.num_skipped)
        seen = self.objective.metrics(tally) if num_skipped < interval.num_steps else {}
        return seen | {
            "gradient_norm": float(interval.norm),
            "skipped_steps": num_skipped,
            "learning_rate": rate,
            "data_wait_share": interval.waited_seconds / seconds,
            **self.speeds(tally, seconds),
        }

    def _log(self, metrics: Mapping[str, float]) -> None:
        if self.log:
            self.log.write(self.step, metrics)

    def _origin(self) -> dict[str, Any]:
        return {"command": self.job.command, "featurizer": self.job.featurizer}

    def _checkpoint(self) -> None:
        """Validate, save, report; all workers together."""
        tally = evaluate_batches(
            self.objective, self.model, self.validation, device=self.device, precision=self.job.precision
        )
        metrics = self.objective.metrics(tally.over_workers())
        self._log({f"validation/{name}": value for name, value in metrics.items()})
        tokenizer_json, facts = self.facts()
        with tempfile.TemporaryDirectory() as name:
            with writing(name):
                save_checkpoint(
                    Path(name),
                    self.model,
                    self.optimizer,
                    tokenizer_json=tokenizer_json,
                    progress={"step": self.step, "validation": metrics, **self._origin(), **facts},
                )
            saved = train.Checkpoint.from_directory(name) if self.rank == 0 else None
            with writing(self.job.output):
                train.report({"step": self.step, "validation_loss": _comparable(metrics)}, checkpoint=saved)


def _comparable(metrics: Mapping[str, float]) -> float:
    """A loss that is no number is the worst."""
    return metrics["loss"] if math.isfinite(metrics["loss"]) else math.inf
