"""Ray Train pretrains VideoBERT on the documents of one version of the table."""

import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from pathlib import Path
from typing import Literal

from vbert.distributed.cluster import connect
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
    metrics_if_finished,
    note_finished,
    options_of,
    refuse_other_job,
    refuse_other_options,
    train,
)
from vbert.distributed.worker_logging import quiet_worker
from vbert.documents.continuous import FeatureReader
from vbert.documents.data_streams import cut_runs
from vbert.documents.sequences import SequenceConfig, random_generator
from vbert.documents.shuffle_windows import ShuffleWindowReader
from vbert.duplicates.splits import kept_ids, with_copies
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import FEATURIZERS, VOCABULARIES
from vbert.model.encoders import ModelConfig, bert_config, check_weights, joint_vocabulary
from vbert.storage.files import check_output, filesystem_of, read_object, with_absolute_paths, write_json
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, short_hash
from vbert.tasks.annotations import listed_videos
from vbert.training.job import PretrainingJob
from vbert.training.optimization import OptimizerConfig
from vbert.vocabulary.tree import Vocabulary, load, save

PRETRAIN_JOB_OPTIONS = (
    *JOB_OPTIONS,
    *("vocabulary", "model", "num_steps", "checkpoint_every", "tokens_per_micro_batch"),
)
OPTIONS_OF_BEFORE = {  # what runs did that began before there was such an option
    "model.contrastive_weight": 0.0,
    "sequences.same_video_share": 0.0,
    "sequences.near_video_share": 0.0,
}
OPTIONS_THAT_MAY_CHANGE = (*MAY_CHANGE, "vocabulary", "held_out", "tokens_per_micro_batch")
VALIDATION = "held_out_videos"  # in the run's options: a hash of their ids
MAX_VALIDATION_VIDEOS = 1000  # of 200 tokens: a validation takes as long as 200,000 tokens of training


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingOptions):
    """Pretrain VideoBERT on documents. The same command goes on where an earlier one was cut off."""

    tables: str
    """Folder or bucket URL of the tables that build_documents wrote."""
    vocabulary: str
    """Folder of the visual vocabulary that the documents were built with."""
    visual_input: Literal["tokens", "features"] = "tokens"
    """What the model sees of a clip: its visual token, as in the paper, or its features through a linear
    layer, where a masked clip is to be told from the others by contrast."""
    num_steps: int = 100_000
    """Steps of the optimiser in all."""
    rows_per_step: int = 128
    """Rows of a global batch; times --sequences.row-length, its tokens."""
    tokens_per_micro_batch: int | None = None
    """Positions that a worker computes at once; default: what half of its GPU's memory holds (32,768 of
    BERT-base on 80 GB), 4,096 on a CPU. Losses do not hang on it."""
    share_of_videos: float = 1.0
    """Train on a part of the videos, chosen by hash."""
    validation_share: float = 0.01
    """Videos to validate on and never to train on, chosen by hash (at most 1,000 are used); of copies, as
    deduplicate finds them, all or none."""
    held_out: str | None = None
    """File (.csv, .jsonl, .parquet) with a column video_id: more videos to validate on; none of them or of
    their copies is trained on."""
    checkpoint_every: int = 1000
    """Steps from one validation and checkpoint to the next."""
    documents_version: int | None = None
    """Version of the documents table; default: the latest. A run keeps to its version when it goes on."""
    features_version: int | None = None
    """The same of the features table, for --visual-input features."""
    duplicates_version: int | None = None
    """The same of the table of deduplicate, if it has run."""
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "num_steps", "checkpoint_every", "tokens_per_micro_batch")
        require_at_least(self, 0, "documents_version", "features_version", "duplicates_version")
        if self.features_version is not None and self.visual_input != "features":
            raise UserError(
                f"--features-version {self.features_version}: only --visual-input features reads that table"
            )
        if self.rows_per_step < self.data_streams or self.rows_per_step % self.data_streams:
            raise UserError(
                f"--rows-per-step {self.rows_per_step} must be a multiple of "
                f"--data-streams {self.data_streams}"
            )
        if (
            self.model.contrastive_weight > 0
            and self.sequences.text_weight == self.sequences.video_weight == 0
        ):
            raise UserError(
                f"--model.contrastive-weight {self.model.contrastive_weight}: pairs are made of what goes "
                "alone; give --sequences.text-weight or --sequences.video-weight above 0"
            )
        if not 0 < self.share_of_videos <= 1 or not 0 <= self.validation_share < 1:
            raise UserError(
                f"--share-of-videos {self.share_of_videos} must be in (0, 1], --validation-share "
                f"{self.validation_share} in [0, 1)"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainSummary:
    """What a run did."""

    model: str
    was_finished: bool
    """By an earlier run: there was nothing left to do."""
    num_training_videos: int
    num_validation_videos: int
    documents_version: int
    num_steps: int
    metrics: dict[str, float]
    seconds: float


def pretrain(config: PretrainConfig) -> PretrainSummary:
    """Train to the last step and leave the best model in `<output>/model`."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "vocabulary", "output")
    if Path(config.model.bert).is_dir():
        config = replace(config, model=with_absolute_paths(config.model, "bert"))
    vocabulary = load(config.vocabulary)
    config = _pinned_versions(_same_as_before(config))
    job, num_training = _plan(config, vocabulary)
    root = config.output.rstrip("/")
    _refuse_other_validation(root, job)
    metrics = metrics_if_finished(job)
    was_finished = metrics is not None
    if metrics is None:
        metrics = _trained(config, job, vocabulary)
    return PretrainSummary(
        model=f"{root}/{MODEL}",
        was_finished=was_finished,
        num_training_videos=num_training,
        num_validation_videos=len(job.validation_ids),
        documents_version=job.version,
        num_steps=config.num_steps,
        metrics=metrics,
        seconds=time.monotonic() - start_seconds,
    )


def _trained(config: PretrainConfig, job: PretrainingJob, vocabulary: Vocabulary) -> dict[str, float]:
    """Leave the model in the output; its metrics."""
    root = config.output.rstrip("/")
    check_output(root, kind="folder")
    connect(training=True)
    options = options_of(config, leave_out=OPTIONS_THAT_MAY_CHANGE)
    versions = {
        DOCUMENTS.name: config.documents_version,
        FEATURES.name: config.features_version,
        DUPLICATES.name: config.duplicates_version,
    }
    with pinned(
        config.tables,
        f"pretrain-{short_hash(root)}",
        job=f"pretrain into {root}",
        versions={name: version for name, version in versions.items() if version is not None},
    ):
        write_json(f"{root}/{PRETRAIN_OPTIONS}", options | {VALIDATION: _validation_hash(job)})
        best, metrics = train(train_worker, job, config)
    model = f"{root}/{MODEL}"
    copy_model(best, model)
    save(vocabulary, f"{model}/{VOCABULARIES}")
    copy_beside(model, config.tables, f"{FEATURIZERS}/{vocabulary.featurizer}.json")
    note_finished(job, metrics)
    return metrics


def train_worker(settings: Mapping[str, bytes]) -> None:
    """Ray Train calls it once on each worker, and again on all of them after one was lost.

    The model is imported here: it takes ten seconds, which Ray's controller and the driver need not spend.
    """
    from vbert.distributed.pretrain_worker import PretrainingLoop

    quiet_worker()
    # Pickled by our own driver, for this worker.
    PretrainingLoop(pickle.loads(settings["job"])).train()  # nosec B301


def _plan(config: PretrainConfig, vocabulary: Vocabulary) -> tuple[PretrainingJob, int]:
    """What the workers do, and on how many videos; every other mistake of the user's is found here."""
    continuous = config.visual_input == "features"
    text = joint_vocabulary(config.model.bert, num_visual_tokens=1 if continuous else vocabulary.num_leaves)
    longest = bert_config(config.model.bert).max_position_embeddings
    check_weights(config.model)
    if config.sequences.row_length > longest:
        raise UserError(
            f"--sequences.row-length {config.sequences.row_length}: {config.model.bert} takes {longest}"
        )
    documents = Table(config.tables, DOCUMENTS)
    version = config.documents_version
    assert version is not None, "chosen by _pinned_versions"
    files = documents.files(partition=vocabulary.id, version=version)
    if not files:
        raise UserError(
            f"{config.tables}: version {version} of documents has none of vocabulary {vocabulary.id}; "
            "run build_documents with it first"
        )
    kept = (
        {}
        if config.duplicates_version is None
        else kept_ids(config.tables, vocabulary.featurizer, version=config.duplicates_version)
    )
    held_out = _held_out(config, documents, vocabulary.id)
    reader = ShuffleWindowReader(
        table=documents,
        vocabulary=text,
        sequences=config.sequences,
        seed=config.seed,
        rows_per_batch=config.rows_per_step // config.data_streams,
        share_of_videos=config.share_of_videos,
        validation_share=config.validation_share,
        held_out=with_copies(held_out, kept),
        kept=kept,
        features=_feature_reader(config, vocabulary.featurizer) if continuous else None,
        with_pairs=config.model.contrastive_weight > 0,
    )
    validation, num_training = _chosen(reader, vocabulary.id, version)
    if num_training < 2 * config.data_streams:
        raise UserError(
            f"{num_training} videos to train on are too few for --data-streams {config.data_streams}: "
            "each stream needs at least two, since alignment compares one with another"
        )
    job = PretrainingJob(
        name="pretrain",
        reader=reader,
        partition=vocabulary.id,
        runs=tuple(cut_runs(files)),
        validation_ids=frozenset(validation),
        version=version,
        num_streams=config.data_streams,
        continuous=continuous,
        command=command_of("pretrain", config),
        featurizer=vocabulary.featurizer,
        **{name: getattr(config, name) for name in PRETRAIN_JOB_OPTIONS},
    )
    return job, num_training


def _chosen(reader: ShuffleWindowReader, partition: str, version: int) -> tuple[list[str], int]:
    """The videos to validate on, drawn by a hash of their ids, and how many are trained on."""
    validation: list[str] = []
    num_training = 0
    for part in reader.table.parts(columns=["video_id"], partition=partition, version=version):
        ids: list[str] = part["video_id"].to_pylist()
        kept_out = [*validation, *filter(reader.is_validation, ids)]
        validation = nsmallest(
            MAX_VALIDATION_VIDEOS, kept_out, key=lambda name: random_generator(name).random()
        )
        num_training += sum(map(reader.is_training, ids))
    return validation, num_training


def _held_out(config: PretrainConfig, documents: Table, partition: str) -> set[str]:
    """Videos that a file lists; found by the names of all."""
    if config.held_out is None:
        return set()
    columns = ["video_id", "uri"]
    rows = documents.read(columns=columns, partition=partition, version=config.documents_version)
    return listed_videos(config.held_out, rows, tables=config.tables)


def _feature_reader(config: PretrainConfig, featurizer: str) -> FeatureReader:
    assert config.features_version is not None, "chosen by _pinned_versions"
    features = Table(config.tables, FEATURES)
    return FeatureReader(table=features, featurizer=featurizer, version=config.features_version)


def _pinned_versions(config: PretrainConfig) -> PretrainConfig:
    """With the versions of the tables that a new run reads to its end: where none is given, the latest."""
    if config.documents_version is None:
        config = replace(config, documents_version=Table(config.tables, DOCUMENTS).version())
    if config.visual_input == "features" and config.features_version is None:
        config = replace(config, features_version=Table(config.tables, FEATURES).version())
    return config


def _validation_hash(job: PretrainingJob) -> str:
    """Of the videos that are never trained on: the file that names some of them may change."""
    return short_hash(*sorted(job.reader.held_out))


def _refuse_other_validation(root: str, job: PretrainingJob) -> None:
    """UserError if the run in `root` began with other videos held out."""
    filesystem, path = filesystem_of(f"{root}/{PRETRAIN_OPTIONS}")
    if not filesystem.exists(path):
        return
    before = read_object(f"{root}/{PRETRAIN_OPTIONS}", fix="give another --output").get(VALIDATION)
    if before is not None and before != _validation_hash(job):
        raise UserError(
            f"{root}: holds a run with other videos in --held-out; give another --output, or the file that "
            "it began with"
        )


def _same_as_before(config: PretrainConfig) -> PretrainConfig:
    """Go on with the versions of the tables that the run began with; UserError if an option has changed."""
    refuse_other_job(config.output, options=FINETUNE_OPTIONS, job="finetune")
    uri = f"{config.output.rstrip('/')}/{PRETRAIN_OPTIONS}"
    filesystem, path = filesystem_of(uri)
    if not filesystem.exists(path):
        duplicates = Table(config.tables, DUPLICATES)
        if config.duplicates_version is None and duplicates.exists():
            config = replace(config, duplicates_version=duplicates.version())
        return config
    before = read_object(uri, fix="give another --output")
    if config.duplicates_version is None:
        config = replace(config, duplicates_version=before.get("duplicates_version"))
    if config.documents_version is None:
        config = replace(config, documents_version=before.get("documents_version"))
    if config.features_version is None:
        config = replace(config, features_version=before.get("features_version"))
    now = options_of(config, leave_out=OPTIONS_THAT_MAY_CHANGE)
    kept = OPTIONS_OF_BEFORE | {name: value for name, value in before.items() if name != VALIDATION}
    refuse_other_options(config.output, before=kept, now=now)
    return config
