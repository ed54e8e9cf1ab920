"""What each worker of fine-tuning runs: batches of examples, in an order drawn anew for each epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vbert.distributed.training_loop import TrainingLoop
from vbert.documents.sequences import Batch, random_generator
from vbert.model.checkpoint_files import TOKENIZER, local_folder, read_vocabulary
from vbert.tasks.base import Inputs
from vbert.tasks.example_store import ExampleStore
from vbert.tasks.examples import Row
from vbert.tasks.finetuning import Finetuning
from vbert.tasks.registry import open_task
from vbert.training.job import FinetuningJob
from vbert.training.optimization import make_optimizer
from vbert.training.parallel import unwrapped

MAX_VALIDATION_EXAMPLES = 2000


class FinetuningLoop(TrainingLoop):
    """One process of fine-tuning. Its place in the data is the step's number."""

    job: FinetuningJob

    def __init__(self, job: FinetuningJob) -> None:
        self.task = open_task(job.task)
        self.objective = Finetuning(self.task)
        with local_folder(job.pretrained) as folder:
            self.inputs = Inputs(vocabulary=read_vocabulary(folder), row_length=job.row_length)
            self.tokenizer_json = (folder / TOKENIZER).read_text()
        self.store = ExampleStore(job.examples)
        self.training = self._usable("train")
        self.unseen = self._usable("validation")
        super().__init__(job)

    def _usable(self, split: str) -> list[Row]:
        task = self.task
        return task.training_rows(task.grouped([r for r in self.store.rows(split) if task.is_usable(r)]))

    def new_model(self) -> Any:
        """The pretrained encoder under a new head."""
        with local_folder(self.job.pretrained) as folder:
            job = self.job
            model = self.task.new_model(
                str(folder), seed=job.seed, dropout=job.dropout, features=job.features
            )
            return self._frozen(model)

    def open_model(self, folder: str) -> Any:
        """As it was saved."""
        return self._frozen(self.task.open_model(folder))

    def _frozen(self, model: Any) -> Any:
        if self.job.freeze_encoder:
            model.freeze_encoder()
        return model

    def make_optimizer(self) -> torch.optim.Optimizer:
        """What is new learns faster."""
        head = unwrapped(self.model).head_parameters()
        return make_optimizer(self.model, self.job.optimizer, head=head, head_rate=self.job.head_rate)

    def start(self, progress: Mapping[str, Any]) -> None:
        """Nothing to find: see next_batches."""
        if self.task.compares_examples:
            self.num_passes = 1
        self.batch_size = min(self.job.batch_size, len(self.training))
        self.batches_an_epoch = len(self.training) // self.batch_size

    def next_batches(self) -> dict[int, Batch]:
        """The next examples of this epoch's order, dealt out to the streams; in one micro-batch, if they are
        compared. What is left over at the end of an epoch waits for another: it is not the same examples each
        time."""
        epoch, number = divmod(self.step, self.batches_an_epoch)
        order = random_generator(self.job.seed, epoch, "examples").permutation(len(self.training))
        mine = order[number * self.batch_size :][: self.batch_size]
        dealt = {
            stream: [self.training[at] for at in mine[stream :: self.job.num_streams]]
            for stream in self.streams
        }
        if self.task.compares_examples:
            return {self.rank: self._batch([row for rows in dealt.values() for row in rows])}
        return {stream: self._batch(rows) for stream, rows in dealt.items() if rows}

    def validation_batches(self) -> list[Batch]:
        """Of the validation split, in its order; at most MAX_VALIDATION_EXAMPLES, spread over it."""
        rows = self.unseen[:: -(-len(self.unseen) // MAX_VALIDATION_EXAMPLES) or 1]
        num_parts = 1 if self.task.compares_examples else self.job.num_streams
        size = max(1, self.job.batch_size // num_parts)
        return [self._batch(rows[first : first + size]) for first in range(0, len(rows), size)]

    def _batch(self, rows: Sequence[Row]) -> Batch:
        return self.task.batch_with_targets(self.store.with_video(rows), self.inputs)

    def facts(self) -> tuple[str, dict[str, Any]]:
        """What predict needs to open the task again."""
        return self.tokenizer_json, {
            "task": self.job.task,
            "row_length": self.job.row_length,
            "vocabulary": self.job.vocabulary,
            "documents_version": self.job.documents_version,
        }
