"""What each Ray Train worker runs: stream micro-batches, train, validate, checkpoint, go on after a kill."""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

import ray.train.torch
import torch
import torch.distributed as dist
from ray import train

from vbert.checkpoint_files import read_progress
from vbert.checkpoints import load_optimizer, save_checkpoint
from vbert.encoders import quiet_transformers
from vbert.lanes import LaneStream, MicroBatch, Position, lanes_of_worker, windows_from
from vbert.metrics_log import MetricsLog
from vbert.modeling_videobert import VideoBertForPreTraining
from vbert.parallel import parallelize
from vbert.pretrain import Tally, evaluate_batches, train_step
from vbert.progress import Progress
from vbert.ray_cluster import connect
from vbert.ray_windows import built_windows
from vbert.starting_model import starting_model
from vbert.training import (
    learning_rate_at,
    make_optimizer,
    peak_flops,
    training_flops,
)
from vbert.training_job import TrainingJob
from vbert.vocabulary import load


@dataclass
class Interval:
    """What is summed up between two lines of the log."""

    tally: Tally = field(default_factory=Tally.empty)
    start_seconds: float = field(default_factory=time.monotonic)
    waited_seconds: float = 0.0
    num_steps: int = 0


class Worker:
    """One process of the training."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        connect()
        context = train.get_context()
        self.rank, self.num_workers = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        if self.device.type == "cpu":
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
        lanes = lanes_of_worker(self.rank, num_workers=self.num_workers, num_lanes=job.num_lanes)
        self.step = 0
        positions = dict.fromkeys(range(job.num_lanes), Position())
        checkpoint = train.get_checkpoint()
        if checkpoint is None:
            leaves = load(job.vocabulary)
            centroids = leaves.leaf_centroids(torch.arange(leaves.num_leaves))
            self._prepare(
                starting_model(job.model, leaf_centroids=centroids, seed=job.seed, continuous=job.continuous)
            )
        else:
            with checkpoint.as_directory() as folder:
                progress = read_progress(Path(folder))
                with quiet_transformers():
                    self._prepare(VideoBertForPreTraining.from_pretrained(folder))
                load_optimizer(Path(folder), self.model, self.optimizer)
            self.step = progress["step"]
            positions = {lane: Position(*at) for lane, at in enumerate(progress["positions"])}
        mine = {lane: positions[lane] for lane in lanes}
        windows = windows_from(mine, job.runs, seed=job.seed, num_lanes=job.num_lanes)
        self.windows = built_windows(windows, job.reader)
        self.stream = LaneStream(self.windows, mine)
        self.validation = self._validation_batches()
        self.log = MetricsLog(job.output, resumed_step=self.step) if self.rank == 0 else None
        self.peak_flops = peak_flops(self.device, job.precision)

    def _prepare(self, model: VideoBertForPreTraining) -> None:
        untyped: Any = model
        untyped.to(self.device).train()
        if self.job.gradient_checkpointing:
            untyped.activation_checkpointing_enable()
        if self.job.compile:
            model.bert.compile()
        self.config = model.config
        self.encoder_size = sum(p.numel() for p in model.bert.encoder.parameters())
        self.model = parallelize(model, self.job.strategy, layers=model.bert.encoder.layer)
        self.optimizer = make_optimizer(self.model, self.job.optimizer)

    def _validation_batches(self) -> list[MicroBatch]:
        """Of the held-out documents, always the same."""
        reader = self.job.reader
        columns = [f.name for f in reader.table.layout.schema if f.name != reader.table.layout.partition]
        rows = reader.table.read(
            columns=columns,
            partition=self.job.partition,
            video_ids=self.job.validation_ids,
            version=self.job.version,
        )
        return list(reader.batches_of(rows.to_pylist(), epoch=0)) if rows.num_rows else []

    def train(self) -> None:
        """From where the checkpoint was to the last step."""
        job = self.job
        progress = Progress("pretrain", total=job.num_steps, unit="steps")
        progress.resume(self.step)
        interval = Interval()
        while self.step < job.num_steps:
            before = time.monotonic()
            batches = self.stream.next_batches()
            interval.waited_seconds += time.monotonic() - before
            tally, norm = train_step(
                self.model,
                self.optimizer,
                batches,
                job.optimizer,
                step=self.step,
                num_steps=job.num_steps,
                seed=job.seed,
                device=self.device,
                precision=job.precision,
            )
            interval.tally = interval.tally + tally
            interval.num_steps += 1
            self.step += 1
            is_last = self.step == job.num_steps
            if is_last or self.step % job.log_every == 0 or self.step % job.checkpoint_every == 0:
                metrics = self._metrics(interval, norm)
                if self.rank == 0:
                    progress.advance(interval.num_steps, note=f"loss {metrics['loss']:.3f}")
                self._log({f"train/{name}": value for name, value in metrics.items()})
                interval = Interval()
            if is_last or self.step % job.checkpoint_every == 0:
                self._checkpoint()
                interval = Interval()
        self.windows.close()
        if self.log:
            self.log.close()

    def _metrics(self, interval: Interval, norm: float) -> dict[str, float]:
        """Of the steps since the last line, over all workers."""
        tally = interval.tally.over_workers()
        seconds = time.monotonic() - interval.start_seconds
        useful, computed = tally.positions.tolist()
        flops = training_flops(
            encoder_size=self.encoder_size,
            num_layers=self.config.num_hidden_layers,
            hidden_size=self.config.hidden_size,
            vocabulary_size=self.config.joint_vocab_size,
            num_positions=computed,
            row_length=self.job.reader.sequences.row_length,
            num_masked=float(tally.cells[:4, 2].sum()),
        )
        return tally.means() | {
            "gradient_norm": norm,
            "learning_rate": learning_rate_at(
                self.step - 1, self.job.optimizer, num_steps=self.job.num_steps
            ),
            "useful_tokens_per_second": useful / seconds,
            "useful_token_share": useful / computed,
            "mfu": flops / seconds / (self.peak_flops * self.num_workers),
            "data_wait_share": interval.waited_seconds / seconds,
            "epoch": min(position.epoch for position in self.stream.positions.values()),
        }

    def _log(self, metrics: Mapping[str, float]) -> None:
        if self.log:
            self.log.write(self.step, metrics)

    def _checkpoint(self) -> None:
        """Validate, save, report; all workers together."""
        tally = evaluate_batches(
            self.model, self.validation, device=self.device, precision=self.job.precision
        )
        figures = tally.over_workers().means()
        self._log({f"validation/{name}": value for name, value in figures.items()})
        progress = {
            "step": self.step,
            "positions": [astuple(position) for position in self._all_positions()],
            "job": asdict(self.job.model) | asdict(self.job.optimizer),
            "documents_version": self.job.version,
            "vocabulary": self.job.partition,
            "validation": figures,
        }
        with tempfile.TemporaryDirectory() as name:
            save_checkpoint(
                Path(name),
                self.model,
                self.optimizer,
                tokenizer_json=self.job.reader.vocabulary.tokenizer_json,
                progress=progress,
            )
            saved = train.Checkpoint.from_directory(name) if self.rank == 0 else None
            train.report({"step": self.step, "validation_loss": figures["loss"]}, checkpoint=saved)

    def _all_positions(self) -> list[Position]:
        """Of every lane, in order: this worker's, and the others'."""
        parts: list[Any] = [None] * self.num_workers
        if dist.is_initialized():
            dist.all_gather_object(parts, self.stream.positions)
        else:
            parts = [self.stream.positions]
        positions: dict[int, Position] = {lane: at for part in parts for lane, at in part.items()}
        return [positions[lane] for lane in sorted(positions)]
