"""How a Ray Train run is set up, and what is left of it: shared by pretraining and fine-tuning."""

import logging
import os
import pickle
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.constants import ENABLE_PREEMPTION_WATCHER_ENV_VAR

from vbert.distributed.resources import AUTO, check_gpus, count_gpus, require_gpu, waiting_told
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import OPTIMIZER, PROGRESS, read_progress
from vbert.storage.arrow_files import arrow_filesystem
from vbert.storage.files import absolute_uri, filesystem_of, read_object, write_file, write_json
from vbert.training.job import DIVERGED, MAX_SKIPPED_STEPS, TrainingJob
from vbert.training.optimization import Precision, Strategy
from vbert.training.reporters import reporters_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MODEL = "model"
# What a run began with, in its output: which of the two is there says whose run it is.
PRETRAIN_OPTIONS, FINETUNE_OPTIONS = "options.json", "finetune.json"
FINISHED = "finished.json"  # there, too, last of all: what it was asked beside them, and what it came to
KNOWN_CHECKPOINTS = "checkpoint_manager_snapshot.json"  # Ray Train's note of those that it keeps
CPUS_A_WORKER = 0.5  # by Ray's count: what a worker uses are all cores that its neighbours leave


# Of the options: what a worker is told of all trainings, and what says where and how fast, and not what.
JOB_OPTIONS = (
    "output",
    "optimizer",
    "seed",
    "strategy",
    "precision",
    "compile",
    "gradient_checkpointing",
    "log_every",
    "report_to",
)
MAY_CHANGE = (
    *(
        "tables",
        "output",
        "gpus",
        "num_workers",
        "min_workers",
        "strategy",
        "compile",
        "gradient_checkpointing",
    ),
    *("keep_checkpoints", "log_every", "max_failures", "report_to"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What a user chooses of every training."""

    output: str
    """Folder or bucket URL of this run: checkpoints, metrics.jsonl, TensorBoard's files, the final model."""
    data_streams: int = 8
    """Micro-batches of a global batch, and so the most workers. The data's order and the losses hang on it,
    and not on the number of workers."""
    gpus: str = AUTO
    """auto: the GPUs that the cluster has, one a worker, else CPUs; a number: so many, for which the job
    waits until the cluster has started them; none: CPUs."""
    num_workers: int | None = None
    """Training processes; default: one a GPU, or one."""
    min_workers: int | None = None
    """Go on with as few as this many when machines are lost, and take more when they come back."""
    strategy: Strategy = "ddp"
    """ddp copies the model to every worker, fsdp shards it."""
    precision: Precision = "auto"
    """auto: bf16 on GPUs, fp32 on CPUs."""
    compile: bool = False
    """torch.compile the encoder: slower to start, faster from then on."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    keep_checkpoints: int = 3
    """The best by validation loss that are kept, beside the last."""
    log_every: int = 50
    """Steps from one line of metrics to the next."""
    report_to: str = "tensorboard"
    """Where metrics go beside metrics.jsonl: tensorboard, mlflow, wandb, several with commas between them, or
    none. MLflow and W&B are told where by their own environment variables."""
    max_failures: int = 10
    """How often lost workers are replaced before the job gives up."""
    seed: int = 0
    """Of the order, the masks, new weights and dropout."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "data_streams", "keep_checkpoints", "log_every")
        require_at_least(self, 0, "max_failures")
        check_gpus(self.gpus)
        reporters_of(self.report_to)
        for name in ("num_workers", "min_workers"):
            count = getattr(self, name)
            if count is not None and not 1 <= count <= self.data_streams:
                raise UserError(
                    f"--{name.replace('_', '-')} {count} must be from 1 to --data-streams "
                    f"{self.data_streams}: each worker runs at least one stream"
                )


class Trainer(TorchTrainer):
    """Ray Train's, without what we have no use for. What deals out datasets of Ray Data takes a process for
    each group of workers, and we have none. What supervises a run on machines that somebody lends would ask
    the dashboard; on a cluster that a job or a demo has started here there is none: it would ask in vain, a
    training would end twelve seconds later, and with a traceback (Ray 2.60)."""

    def _create_default_callbacks(self) -> list[Any]:
        found: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]  # of its second version
        context: Any = ray.init(ignore_reinit_error=True, logging_level=logging.ERROR)  # the one that is up
        useless: tuple[type[Any], ...] = (DatasetsCallback,)
        if not context.address_info["webui_url"]:
            os.environ.setdefault(ENABLE_PREEMPTION_WATCHER_ENV_VAR, "0")  # Ray Train tells it to its own
            useless = (DatasetsCallback, PlacementGroupCleanerCallback)
        return [one for one in found if not isinstance(one, useless)]


def train(
    worker: Callable[[Mapping[str, bytes]], None], job: TrainingJob, options: TrainingOptions
) -> tuple[ray.train.Checkpoint, dict[str, float]]:
    """Run `worker` on the cluster to the job's last step; the checkpoint of the least validation loss, and
    its metrics."""
    trainer = Trainer(
        worker,
        train_loop_config={"job": pickle.dumps(job)},  # opened by workers alone
        scaling_config=_scaling_config(options),
        run_config=_run_config(options),
    )
    with waiting_told("training", gpus=options.gpus):
        require_gpu(options.gpus)
        remove_unknown_checkpoints(options.output)
        result = trainer.fit()
    if result.error is not None:
        raise result.error
    _refuse_diverged(options.output)
    assert result.best_checkpoints, "the last step makes one"
    checkpoint, _ = min(result.best_checkpoints, key=lambda found: found[1]["validation_loss"])
    with checkpoint.as_directory() as folder:
        return checkpoint, read_progress(Path(folder))["validation"]


def facts_if_finished(output: str, *, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run came to that has done all that is `asked` and left its model: for another look at it no
    cluster has to start machines, and no table has to have what it had."""
    root = output.rstrip("/")
    filesystem, path = filesystem_of(root)
    filesystem.invalidate_cache()
    if not (filesystem.exists(f"{path}/{FINISHED}") and filesystem.exists(f"{path}/{MODEL}/{PROGRESS}")):
        return None
    found = read_object(f"{root}/{FINISHED}", fix="remove it")
    return found["facts"] if found.get("asked") == dict(asked) else None


def note_finished(output: str, *, asked: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Once its model is where users look for it."""
    write_json(f"{output.rstrip('/')}/{FINISHED}", {"asked": asked, "facts": facts})


def remove_unknown_checkpoints(output: str) -> None:
    """Of a run that goes on: a driver that was killed between a checkpoint and Ray's note of it has left
    gigabytes that nobody will ever read or remove."""
    filesystem, path = filesystem_of(output.rstrip("/"))
    filesystem.invalidate_cache()
    if not filesystem.exists(f"{path}/{KNOWN_CHECKPOINTS}"):
        return
    known = filesystem.cat_file(f"{path}/{KNOWN_CHECKPOINTS}").decode()
    for entry in filesystem.ls(path, detail=True):
        name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
        if entry["type"] == "directory" and name.startswith("checkpoint_") and f'"{name}"' not in known:
            filesystem.rm(entry["name"], recursive=True)


def _refuse_diverged(output: str) -> None:
    """UserError if the workers have given up (`TrainingLoop`)."""
    uri = f"{output.rstrip('/')}/{DIVERGED}"
    filesystem, path = filesystem_of(uri)
    filesystem.invalidate_cache()
    if not filesystem.exists(path):
        return
    step = read_object(uri, fix="remove it")["step"]
    filesystem.rm_file(path)
    raise UserError(
        f"{output}: the loss has not been finite for {MAX_SKIPPED_STEPS} steps up to step {step}; the last "
        "checkpoint is kept; give another --output and a smaller --optimizer.learning-rate"
    )


def _scaling_config(options: TrainingOptions) -> ray.train.ScalingConfig:
    """A GPU for each worker where there are any; else a worker uses all cores that its neighbours leave."""
    num_gpus = count_gpus(options.gpus)
    most = options.num_workers or min(max(1, num_gpus), options.data_streams)
    elastic: Any = (options.min_workers, most)
    return ray.train.ScalingConfig(
        num_workers=elastic if options.min_workers else most,
        use_gpu=num_gpus > 0,
        resources_per_worker={"CPU": CPUS_A_WORKER} | ({"GPU": 1} if num_gpus else {}),
    )


def _run_config(options: TrainingOptions) -> Any:
    """Checkpoints into the output, the best by validation loss kept; lost workers replaced."""
    root, _, name = absolute_uri(options.output).rpartition("/")
    # Ours, since it asks again for what a store refuses for a moment.
    filesystem, path = arrow_filesystem(root)
    make: Any = ray.train.RunConfig  # mypy sees Ray Train's first version
    return make(
        name=name,
        storage_path=path,
        storage_filesystem=filesystem,
        logging_config=ray.train.LoggingConfig(log_level="WARNING"),
        failure_config=ray.train.FailureConfig(max_failures=options.max_failures),
        checkpoint_config=ray.train.CheckpointConfig(
            num_to_keep=options.keep_checkpoints,
            checkpoint_score_attribute="validation_loss",
            checkpoint_score_order="min",
        ),
    )


def command_of(job: str, config: "DataclassInstance") -> str:
    """The command line that asks for it: what differs from the defaults, and what has none."""
    words = ["vbert", job]
    for flag, value in _flags(config):
        if value is True:
            words.append(f"--{flag}")
        else:
            words += [f"--{flag}", shlex.quote(str(value))]
    return " ".join(words)


def _flags(config: "DataclassInstance", prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(config):
        value, flag = getattr(config, field.name), prefix + field.name.replace("_", "-")
        if is_dataclass(value) and not isinstance(value, type):
            yield from _flags(value, f"{flag}.")
        elif value != field.default:
            yield flag, value


def options_of(config: "DataclassInstance", *, leave_out: Collection[str]) -> dict[str, Any]:
    """What decides about the losses, flat; workers may come and go."""
    flat: dict[str, Any] = {}
    for name, value in asdict(config).items():
        if name in leave_out:
            continue
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": part for key, part in value.items()}
        else:
            flat[name] = value
    return flat


def refuse_other_options(output: str, *, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """UserError if a run in `output` began with other options."""
    changed = [name for name in before if before[name] != now.get(name)]
    if changed:
        name = changed[0]
        raise UserError(
            f"{output}: holds a run with --{name.replace('_', '-')} {before[name]}, and not "
            f"{now.get(name)}; give another --output, or the options it began with"
        )


def refuse_other_job(output: str, *, options: str, job: str) -> None:
    """UserError if `output` holds a run of another job, `options` being the file that it leaves: its
    checkpoints would be gone on from, and its model written over."""
    filesystem, path = filesystem_of(f"{output.rstrip('/')}/{options}")
    if filesystem.exists(path):
        raise UserError(f"{output}: holds a run of {job}; give another --output")


def copy_beside(model: str, source: str, *names: str) -> None:
    """Copy files and folders of `source` to the model: what it takes to ask it about a video file."""
    filesystem, path = filesystem_of(source)
    for name in names:
        for file in filesystem.find(f"{path}/{name}"):
            place = f"{model.rstrip('/')}/{file.removeprefix(path).lstrip('/')}"
            write_file(place, filesystem.cat_file(file))


def copy_model(checkpoint: ray.train.Checkpoint, target: str) -> None:
    """The model without its optimiser, where users look for it."""
    with checkpoint.as_directory() as folder:
        for file in sorted(Path(folder).iterdir()):
            if file.name != OPTIMIZER:
                write_file(f"{target.rstrip('/')}/{file.name}", file.read_bytes())
