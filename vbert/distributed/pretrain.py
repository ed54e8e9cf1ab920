"""Ray Train pretrains VideoBERT on the documents of one version of the table."""

import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import nsmallest
from pathlib import Path

from vbert.distributed.cluster import connect
from vbert.distributed.pretrain_config import (
    VALIDATION,
    PretrainConfig,
    as_begun,
    deciding_options,
    listed_hash,
    refuse_other_validation,
    validation_hash,
    with_latest_versions,
)
from vbert.distributed.train_run import (
    JOB_OPTIONS,
    MODEL,
    PRETRAIN_OPTIONS,
    command_of,
    copy_beside,
    copy_model,
    facts_if_finished,
    note_finished,
    train,
)
from vbert.distributed.worker_logging import quiet_worker
from vbert.documents.continuous import FeatureReader
from vbert.documents.data_streams import cut_runs
from vbert.documents.sequences import random_generator
from vbert.documents.shuffle_windows import ShuffleWindowReader
from vbert.duplicates.splits import kept_ids, with_copies
from vbert.errors import UserError
from vbert.model.checkpoint_files import FEATURIZERS, VOCABULARIES
from vbert.model.encoders import bert_config, check_weights, joint_vocabulary
from vbert.storage.files import check_output, with_absolute_paths, write_json
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, short_hash
from vbert.tasks.annotations import listed_videos
from vbert.training.job import PretrainingJob
from vbert.vocabulary.tree import Vocabulary, load, save

PRETRAIN_JOB_OPTIONS = (
    *JOB_OPTIONS,
    *("vocabulary", "model", "num_steps", "checkpoint_every", "tokens_per_micro_batch"),
)
MAX_VALIDATION_VIDEOS = 1000  # of 200 tokens: a validation takes as long as 200,000 tokens of training


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
    config = as_begun(config, vocabulary=vocabulary.id)
    root = config.output.rstrip("/")
    asked = {"num_steps": config.num_steps, "held_out": listed_hash(config)}
    facts = facts_if_finished(root, asked=asked)
    was_finished = facts is not None
    if facts is None:
        config = with_latest_versions(config)
        job, num_training = _plan(config, vocabulary)
        refuse_other_validation(job)
        facts = {
            "num_training_videos": num_training,
            "num_validation_videos": len(job.validation_ids),
            "documents_version": job.version,
            "num_steps": config.num_steps,
            "metrics": _trained(config, job, vocabulary),
        }
        note_finished(root, asked=asked, facts=facts)
    return PretrainSummary(
        model=f"{root}/{MODEL}", was_finished=was_finished, seconds=time.monotonic() - start_seconds, **facts
    )


def _trained(config: PretrainConfig, job: PretrainingJob, vocabulary: Vocabulary) -> dict[str, float]:
    """Leave the model in the output; its metrics."""
    root = config.output.rstrip("/")
    check_output(root, kind="folder")
    connect(training=True)
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
        options = deciding_options(config, vocabulary=vocabulary.id) | {VALIDATION: validation_hash(job)}
        write_json(f"{root}/{PRETRAIN_OPTIONS}", options)
        best, metrics = train(train_worker, job, config)
    model = f"{root}/{MODEL}"
    copy_model(best, model)
    save(vocabulary, f"{model}/{VOCABULARIES}")
    copy_beside(model, config.tables, f"{FEATURIZERS}/{vocabulary.featurizer}.json")
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
    assert version is not None, "chosen by with_latest_versions"
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
    assert config.features_version is not None, "chosen by with_latest_versions"
    features = Table(config.tables, FEATURES)
    return FeatureReader(table=features, featurizer=featurizer, version=config.features_version)
