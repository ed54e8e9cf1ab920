"""How a Ray Train run is set up, and what is left of it: shared by pretraining and fine-tuning."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train

from vbert.distributed.cluster import count_gpus
from vbert.errors import UserError
from vbert.model.checkpoint_files import OPTIMIZER, read_progress
from vbert.storage.files import absolute_uri, arrow_filesystem, filesystem_of, write_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MODEL = "model"
# What a run began with, in its output: which of the two is there says whose run it is.
PRETRAIN_OPTIONS, FINETUNE_OPTIONS = "options.json", "finetune.json"
CPUS_A_WORKER = 0.5  # by Ray's count: what a worker uses are all cores that its neighbours leave


def scaling_config(
    *, num_workers: int | None, min_workers: int | None, num_streams: int
) -> ray.train.ScalingConfig:
    """A GPU for each worker where there are any; else a worker uses all cores that its neighbours leave."""
    num_gpus = count_gpus()
    most = num_workers or min(max(1, num_gpus), num_streams)
    elastic: Any = (min_workers, most)
    return ray.train.ScalingConfig(
        num_workers=elastic if min_workers else most,
        use_gpu=num_gpus > 0,
        resources_per_worker={"CPU": CPUS_A_WORKER} | ({"GPU": 1} if num_gpus else {}),
    )


def run_config(output: str, *, keep_checkpoints: int, max_failures: int) -> Any:
    """Checkpoints into `output`, the best by validation loss kept; lost workers replaced."""
    root, _, name = absolute_uri(output).rpartition("/")
    # Ours, since it asks again for what a store refuses for a moment.
    filesystem, path = arrow_filesystem(root)
    make: Any = ray.train.RunConfig  # mypy sees Ray Train's first version
    return make(
        name=name,
        storage_path=path,
        storage_filesystem=filesystem,
        logging_config=ray.train.LoggingConfig(log_level="WARNING"),
        failure_config=ray.train.FailureConfig(max_failures=max_failures),
        checkpoint_config=ray.train.CheckpointConfig(
            num_to_keep=keep_checkpoints,
            checkpoint_score_attribute="validation_loss",
            checkpoint_score_order="min",
        ),
    )


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


def best_checkpoint(result: ray.train.Result) -> tuple[ray.train.Checkpoint, dict[str, float]]:
    """The checkpoint of the least validation loss, and its metrics."""
    assert result.best_checkpoints, "the last step makes one"
    checkpoint, _ = min(result.best_checkpoints, key=lambda found: found[1]["validation_loss"])
    with checkpoint.as_directory() as folder:
        return checkpoint, read_progress(Path(folder))["validation"]


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
