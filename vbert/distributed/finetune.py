"""Ray Train fine-tunes a pretrained model for a task."""

import pickle
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from vbert.distributed.cluster import connect
from vbert.distributed.examples import Accounting, Videos, annotations_of, write_examples
from vbert.distributed.train_run import (
    FINETUNE_OPTIONS,
    JOB_OPTIONS,
    MAY_CHANGE,
    MODEL,
    PRETRAIN_OPTIONS,
    TrainingOptions,
    command_of,
    copy_beside,
    copy_model,
    facts_if_finished,
    note_finished,
    options_of,
    refuse_other_job,
    refuse_other_options,
    train,
)
from vbert.distributed.worker_logging import quiet_worker
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import (
    CONFIG,
    FEATURIZERS,
    PROGRESS,
    VOCABULARIES,
    check_pretrained,
    read_json,
)
from vbert.model.head_features import HeadFeatures, HeadInput, Moments
from vbert.storage.files import (
    absolute_uri,
    check_output,
    filesystem_of,
    read_object,
    with_absolute_paths,
    write_json,
    writing,
)
from vbert.tasks.base import TaskOptions
from vbert.tasks.example_store import ExampleStore
from vbert.tasks.registry import TASKS, TaskName
from vbert.training.job import FinetuningJob
from vbert.training.optimization import OptimizerConfig

EXAMPLES_FOLDER = "examples"
FEATURE_SCALING = "feature_scaling.json"  # mean and scale of the training examples' features
FINETUNE_JOB_OPTIONS = (*JOB_OPTIONS, "freeze_encoder", "head_rate", "batch_size", "row_length", "dropout")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainingOptions):
    """Fine-tune a pretrained model for a task. The same command goes on where an earlier one was cut off."""

    task: TaskName
    """What to learn."""
    tables: str
    """Folder or bucket URL of the tables with the documents of the annotated videos."""
    model: str
    """Folder of a pretrained model, as pretrain printed it."""
    annotations: str
    """File of annotations (.csv, .jsonl, .parquet), or what the data set's authors distribute (--dataset)."""
    dataset: str = "records"
    """records: a file of one's own. Or youcook2, activitynet, activitynet_captions, activitynet_qa,
    howto100m, msrvtt, msvd, vatex, didemo, coin, crosstask, epic_kitchens_100, kinetics, ucf101, hmdb51,
    something_something_v2, charades, tvsum, summe."""
    num_epochs: int = 10
    """How often each training example is learned from."""
    features: HeadInput = "fused"
    """What the head sees of clips: fused, the encoder's states and the continuous features that featurize
    made; tokens, the states alone; features, these alone, and of the encoder the text's states. With
    --options.hide-video none of it."""
    batch_size: int = 32
    """Examples of a step."""
    data_streams: int = 4
    """Micro-batches of a step, and so the most workers. Losses do not hang on the number of workers."""
    freeze_encoder: bool = False
    """Train the head alone: a linear probe."""
    head_rate: float = 3.0
    """What is new, the head and the projection of continuous features, learns at so many times
    --optimizer.learning-rate: the encoder has learned already. 100 where looks tell the answer, 1 where only
    the order of clips does."""
    dropout: float = 0.1
    """Of hidden states."""
    row_length: int = 512
    """Positions of a sequence at most. Of a longer interval of video, clips are left out evenly."""
    keep_checkpoints: int = 1
    """The best by validation loss that are kept, beside the last. There is one an epoch."""
    log_every: int = 10
    """Steps from one line of metrics to the next."""
    options: TaskOptions = field(default_factory=TaskOptions)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=5e-5))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "num_epochs")
        require_at_least(self, 16, "row_length")
        if not self.head_rate > 0:
            raise UserError(f"--head-rate {self.head_rate} must be above 0")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--dropout {self.dropout} must be in [0, 1)")
        if self.batch_size < self.data_streams:
            raise UserError(
                f"--batch-size {self.batch_size} must be at least --data-streams "
                f"{self.data_streams}: each has an example"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneSummary:
    """What a run did."""

    model: str
    was_finished: bool
    """By an earlier run: there was nothing left to do."""
    num_training_examples: int
    num_validation_examples: int
    num_unusable: int
    """Of both: without clips, or with nothing to learn from."""
    accounting: Accounting
    num_steps: int
    metrics: dict[str, float]
    seconds: float


def finetune(config: FinetuneConfig) -> FinetuneSummary:
    """Train to the last step and leave the best model in `<output>/model`."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model", "output")
    _check_model(config)
    root = config.output.rstrip("/")
    accounting = _examples(config)
    job, counts = _plan(config)
    asked = {"num_steps": job.num_steps}
    facts = facts_if_finished(root, asked=asked)
    was_finished = facts is not None
    if facts is None:
        connect(training=True)
        best, metrics = train(finetune_worker, job, config)
        copy_model(best, f"{root}/{MODEL}")
        copy_beside(f"{root}/{MODEL}", config.model, VOCABULARIES, FEATURIZERS)
        facts = {"metrics": metrics}
        note_finished(root, asked=asked, facts=facts)
    return FinetuneSummary(
        model=f"{root}/{MODEL}",
        was_finished=was_finished,
        accounting=accounting,
        num_steps=job.num_steps,
        metrics=facts["metrics"],
        seconds=time.monotonic() - start_seconds,
        **counts,
    )


def finetune_worker(settings: Mapping[str, bytes]) -> None:
    """Ray Train calls it once on each worker, and again on all of them after one was lost."""
    from vbert.distributed.finetune_worker import FinetuningLoop

    quiet_worker()
    # Pickled by our own driver, for this worker.
    FinetuningLoop(pickle.loads(settings["job"])).train()  # nosec B301


def _check_model(config: FinetuneConfig) -> None:
    check_pretrained(config.model)
    found = read_json(config.model, CONFIG)
    if found.get("visual_feature_dim") is not None or found.get("model_type") != "videobert":
        raise UserError(
            f"{config.model}: fine-tuning starts from a model that pretrain made on visual tokens"
        )
    longest = found["max_position_embeddings"]
    if config.row_length > longest:
        raise UserError(f"--row-length {config.row_length}: {config.model} takes {longest}")


def _examples(config: FinetuneConfig) -> Accounting:
    """Join the annotations with the documents; what an earlier run of the same options has joined is kept.

    The options are written when the examples are whole.
    """
    root = config.output.rstrip("/")
    refuse_other_job(root, options=PRETRAIN_OPTIONS, job="pretrain")
    filesystem, path = filesystem_of(f"{root}/{FINETUNE_OPTIONS}")
    now = options_of(config, leave_out=MAY_CHANGE)
    if filesystem.exists(path):
        saved = read_object(f"{root}/{FINETUNE_OPTIONS}", fix="give another --output")
        before = dict.fromkeys(now) | saved["options"]  # an option that it did not have is another, too
        refuse_other_options(config.output, before=before, now=now)
        return Accounting(**saved["accounting"])
    examples = f"{root}/{EXAMPLES_FOLDER}"
    _, folder = filesystem_of(examples)
    videos = _videos(config)
    annotations, accounting = annotations_of(
        videos,
        source=config.annotations,
        dataset=config.dataset,
        columns=TASKS[config.task].columns,
        splits=["train", "validation"],
    )
    _refuse_others(examples)
    check_output(root, kind="folder")
    connect(training=True)
    if filesystem.exists(folder):
        filesystem.rm(folder, recursive=True)
    with writing(examples):
        moments = write_examples(annotations, videos, absolute_uri(examples))
    read = {"documents": videos.version}  # the run reads its examples from now on, and no table
    if videos.features_version is not None:
        read["features"] = videos.features_version
        _write_scaling(config, moments)
    write_json(
        f"{root}/{FINETUNE_OPTIONS}", {"options": now, "versions": read, "accounting": asdict(accounting)}
    )
    return accounting


def _videos(config: FinetuneConfig) -> Videos:
    """The latest documents of the model's visual words, and the features that those were made from, if the
    head sees them."""
    facts = read_json(config.model, PROGRESS)
    if _head_input(config) == "tokens":
        return Videos.latest(config.tables, vocabulary=facts["vocabulary"])
    if facts.get("featurizer") is None:
        raise UserError(
            f"{config.model}: does not say what features its visual tokens are of; give --features tokens"
        )
    return Videos.latest(config.tables, vocabulary=facts["vocabulary"], featurizer=facts["featurizer"])


def _head_input(config: FinetuneConfig) -> HeadInput:
    """Where the head is to see no clips, it sees nothing of them."""
    return "tokens" if config.options.hide_video else config.features


def _write_scaling(config: FinetuneConfig, moments: Moments | None) -> None:
    if moments is None:
        raise UserError(
            f"{config.annotations}: no training example has clips with features in {config.tables}; where "
            "videos have changed, run build_documents again"
        )
    scaling = HeadFeatures.standardised(_head_input(config), moments).to_json()
    write_json(f"{config.output.rstrip('/')}/{FEATURE_SCALING}", scaling)


def _head_features(config: FinetuneConfig) -> HeadFeatures:
    """What `_examples` has found."""
    kind = _head_input(config)
    if kind == "tokens":
        return HeadFeatures()
    return HeadFeatures.from_json(kind, read_json(config.output, FEATURE_SCALING))


def _refuse_others(examples: str) -> None:
    """UserError if the folder holds more than a run that was cut off leaves there: it will be emptied."""
    filesystem, folder = filesystem_of(examples)
    for file in filesystem.find(folder):
        if not file.endswith((".arrow", ".parquet")):
            name = file.rsplit("/", 1)[-1]
            raise UserError(f"{examples}: holds {name}, which is not this job's; give another --output")


def _plan(config: FinetuneConfig) -> tuple[FinetuningJob, dict[str, int]]:
    """What the workers do, and how many examples there are."""
    examples = f"{config.output.rstrip('/')}/{EXAMPLES_FOLDER}"
    store = ExampleStore(examples)
    rows = {split: store.rows(split) for split in ("train", "validation")}
    kind = TASKS[config.task]
    candidates = [row for row in rows["train"] if kind.has_target(row)]
    if not candidates:
        raise UserError(
            f"{config.annotations}: no training example of {config.task} has a video in {config.tables} "
            f"({len(rows['train'])} annotations of the split train were found there)"
        )
    task = kind.of(candidates, config.options)
    usable = {split: [row for row in mine if task.is_usable(row)] for split, mine in rows.items()}
    training = task.training_rows(task.grouped(usable["train"]))
    if not training or not usable["validation"]:
        raise UserError(
            f"{config.annotations}: {len(training)} examples to train on and {len(usable['validation'])} to "
            "validate on are too few; fill in the column `split`, or leave it out to have videos dealt out"
        )
    batch_size = min(config.batch_size, len(training))
    batches_an_epoch = len(training) // batch_size
    job = FinetuningJob(
        name="finetune",
        examples=examples,
        task=task.to_json(),
        pretrained=config.model,
        vocabulary=read_json(config.model, PROGRESS)["vocabulary"],
        num_steps=config.num_epochs * batches_an_epoch,
        num_streams=min(config.data_streams, batch_size),
        checkpoint_every=batches_an_epoch,
        command=command_of("finetune", config),
        featurizer=read_json(config.model, PROGRESS).get("featurizer"),
        documents_version=read_json(config.output, FINETUNE_OPTIONS).get("versions", {}).get("documents"),
        features=_head_features(config),
        **{name: getattr(config, name) for name in FINETUNE_JOB_OPTIONS},
    )
    num_unusable = sum(len(rows[split]) - len(usable[split]) for split in rows)
    return job, {
        "num_training_examples": len(training),
        "num_validation_examples": len(task.grouped(usable["validation"])),
        "num_unusable": num_unusable,
    }
