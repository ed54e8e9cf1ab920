"""What each worker of pretraining runs: micro-batches stream in from windows of documents."""

from collections.abc import Mapping
from dataclasses import asdict, astuple
from typing import Any

import torch
import torch.distributed as dist

from vbert.distributed.shuffle_windows import BUILDERS_OF_A_CPU, BUILDERS_OF_A_GPU, built_windows
from vbert.distributed.training_loop import TrainingLoop
from vbert.documents.data_streams import Position, WorkerStreams, windows_from
from vbert.documents.micro_batches import micro_batches, num_micro_batches
from vbert.documents.sequences import Batch
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.model.starting_model import starting_model
from vbert.model.varlen_attention import VARLEN, can_use_varlen
from vbert.training.job import PretrainingJob
from vbert.training.memory import fitting_tokens
from vbert.training.objective import Tally
from vbert.training.optimization import peak_flops, training_flops, uses_bf16
from vbert.training.pretraining import PRETRAINING
from vbert.training.row_dropout import drop_by_rows
from vbert.vocabulary.tree import load


class PretrainingLoop(TrainingLoop):
    """One process of pretraining."""

    job: PretrainingJob
    objective = PRETRAINING

    def new_model(self) -> VideoBertForPreTraining:
        """BERT's weights, and rows for the visual words."""
        leaves = load(self.job.vocabulary)
        centroids = leaves.leaf_centroids(torch.arange(leaves.num_leaves))
        job = self.job
        return starting_model(job.model, leaf_centroids=centroids, seed=job.seed, continuous=job.continuous)

    def open_model(self, folder: str) -> VideoBertForPreTraining:
        """As it was saved."""
        model: VideoBertForPreTraining = VideoBertForPreTraining.from_pretrained(folder)
        return model

    def start(self, progress: Mapping[str, Any]) -> None:
        """Stream windows from each stream's position on."""
        job = self.job
        positions = {stream: Position(*at) for stream, at in enumerate(progress.get("positions", []))}
        mine = {stream: positions.get(stream, Position()) for stream in self.streams}
        windows = windows_from(mine, job.runs, seed=job.seed, num_streams=job.num_streams)
        num_builders = BUILDERS_OF_A_GPU if self.device.type == "cuda" else BUILDERS_OF_A_CPU
        self.windows = built_windows(windows, job.reader, num_builders=num_builders)
        self.stream = WorkerStreams(self.windows, mine)
        self.peak_flops = peak_flops(self.device, job.precision)

    def prepare_model(self, model: VideoBertForPreTraining) -> None:
        """Its dropout and attention, and how many rows fit on the device at once."""
        job = self.job
        drop_by_rows(model)
        dropout = model.config.attention_probs_dropout_prob
        dtype = torch.bfloat16 if uses_bf16(self.device, job.precision) else torch.float32
        if can_use_varlen(self.device, dtype, dropout=dropout):
            model.set_attn_implementation(VARLEN)
        # Torch draws the dropout of attention weights, and vectors are told from the others of their batch:
        # both hang on what is in a micro-batch, which is one stream's then.
        self.is_divisible = dropout == 0 and not job.continuous
        if not self.is_divisible and model.cls.contrast is not None:
            model.cls.contrast.pairs.over_processes = False  # told from the others of their stream, too
        num_rows = self.most_streams * job.reader.rows_per_batch
        if self.is_divisible:
            row_length = job.reader.sequences.row_length
            tokens = job.tokens_per_micro_batch or fitting_tokens(model.config, self.device)
            self.num_passes = num_micro_batches(
                num_rows, row_length=row_length, tokens_per_micro_batch=tokens
            )
        self.rows_per_micro_batch = -(-num_rows // self.num_passes)

    def next_batches(self) -> dict[int, Batch]:
        """The rows of all of this worker's streams in micro-batches, or a micro-batch of each."""
        streams = self.stream.next_batches()
        how = {
            "rows_per_micro_batch": self.rows_per_micro_batch,
            "seed": self.job.seed,
            "step": self.step,
        }
        if self.is_divisible:
            return dict(enumerate(micro_batches(streams, count=self.num_passes, **how)))
        return {stream: micro_batches({stream: rows}, count=1, **how)[0] for stream, rows in streams.items()}

    def validation_batches(self) -> list[Batch]:
        """Of the held-out documents."""
        reader = self.job.reader
        columns = [f.name for f in reader.table.layout.schema if f.name != reader.table.layout.partition]
        rows = reader.table.read(
            columns=columns,
            partition=self.job.partition,
            video_ids=self.job.validation_ids,
            version=self.job.version,
        )
        batches = reader.batches_of(rows.to_pylist(), epoch=0) if rows.num_rows else []
        how = {"count": 1, "rows_per_micro_batch": reader.rows_per_batch, "seed": self.job.seed, "step": 0}
        return [micro_batches({0: batch}, **how)[0] for batch in batches]  # of one shape

    def facts(self) -> tuple[str, dict[str, Any]]:
        """Where every stream is, and what the model was trained on."""
        return self.job.reader.vocabulary.tokenizer_json, {
            "positions": [astuple(position) for position in self._all_positions()],
            "job": asdict(self.job.model) | asdict(self.job.optimizer),
            "documents_version": self.job.version,
            "vocabulary": self.job.partition,
        }

    def speeds(self, tally: Tally, seconds: float) -> dict[str, float]:
        """How well the machine is used, and how far the data is."""
        useful, computed = tally.positions.tolist()
        flops = training_flops(
            encoder_size=self.encoder_size,
            num_layers=self.config.num_hidden_layers,
            hidden_size=self.config.hidden_size,
            vocabulary_size=self.config.joint_vocab_size,
            num_positions=useful,
            row_length=self.job.reader.sequences.row_length,
            num_masked=float(tally.cells[:4, 2].sum()),
        )
        return super().speeds(tally, seconds) | {
            "useful_token_share": useful / computed,
            "mfu": flops / seconds / (self.peak_flops * self.num_workers),
            "epoch": min(position.epoch for position in self._all_positions()),
        }

    def close(self) -> None:
        """Build no more windows."""
        self.windows.close()

    def _all_positions(self) -> list[Position]:
        """Of every stream, in order: this worker's, and the others'."""
        parts: list[Any] = [None] * self.num_workers
        if dist.is_initialized():
            dist.all_gather_object(parts, self.stream.positions)
        else:
            parts = [self.stream.positions]
        positions: dict[int, Position] = {stream: at for part in parts for stream, at in part.items()}
        return [positions[stream] for stream in sorted(positions)]
