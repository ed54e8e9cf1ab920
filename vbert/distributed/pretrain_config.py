"""What a user asks of pretraining, and what of it a run that is gone on with has to keep to."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vbert.distributed.train_run import (
    FINETUNE_OPTIONS,
    MAY_CHANGE,
    PRETRAIN_OPTIONS,
    TrainingOptions,
    options_of,
    refuse_other_job,
    refuse_other_options,
)
from vbert.documents.sequences import SequenceConfig
from vbert.errors import UserError, require_at_least
from vbert.model.encoders import ModelConfig
from vbert.storage.files import filesystem_of, read_object
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, short_hash
from vbert.tasks.annotations import read_list
from vbert.training.job import PretrainingJob
from vbert.training.optimization import OptimizerConfig

OPTIONS_OF_BEFORE = {  # what runs did that began before there was such an option
    "model.contrastive_weight": 0.0,
    "sequences.same_video_share": 0.0,
    "sequences.near_video_share": 0.0,
}
OPTIONS_THAT_MAY_CHANGE = (*MAY_CHANGE, "vocabulary", "held_out", "tokens_per_micro_batch")
VALIDATION = "held_out_videos"  # in the run's options: a hash of their ids


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


def as_begun(config: PretrainConfig, *, vocabulary: str) -> PretrainConfig:
    """With the versions of the tables that a run in the output began with. UserError if it has other options,
    or is another job's."""
    refuse_other_job(config.output, options=FINETUNE_OPTIONS, job="finetune")
    before = _options_before(config.output)
    if not before:
        duplicates = Table(config.tables, DUPLICATES)
        if config.duplicates_version is None and duplicates.exists():
            return replace(config, duplicates_version=duplicates.version())
        return config
    if config.documents_version is None:
        config = replace(config, documents_version=before.get("documents_version"))
    if config.features_version is None:
        config = replace(config, features_version=before.get("features_version"))
    if config.duplicates_version is None:
        config = replace(config, duplicates_version=before.get("duplicates_version"))
    kept = OPTIONS_OF_BEFORE | {name: value for name, value in before.items() if name != VALIDATION}
    refuse_other_options(config.output, before=kept, now=deciding_options(config, vocabulary=vocabulary))
    return config


def with_latest_versions(config: PretrainConfig) -> PretrainConfig:
    """With the versions of the tables that a new run reads to its end: where none is given, the latest."""
    if config.documents_version is None:
        config = replace(config, documents_version=Table(config.tables, DOCUMENTS).version())
    if config.visual_input == "features" and config.features_version is None:
        config = replace(config, features_version=Table(config.tables, FEATURES).version())
    return config


def deciding_options(config: PretrainConfig, *, vocabulary: str) -> dict[str, Any]:
    """What decides about the losses; of the vocabulary, whose folder may move, its id."""
    return options_of(config, leave_out=OPTIONS_THAT_MAY_CHANGE) | {"vocabulary": vocabulary}


def listed_hash(config: PretrainConfig) -> str | None:
    """Of the names in the file of --held-out, whatever videos there are."""
    if config.held_out is None:
        return None
    return short_hash(*sorted(read_list(config.held_out)["video_id"].to_pylist()))


def validation_hash(job: PretrainingJob) -> str:
    """Of the videos that are never trained on: the file that names some of them may change."""
    return short_hash(*sorted(job.reader.held_out))


def refuse_other_validation(job: PretrainingJob) -> None:
    """UserError if the run in the output began with other videos held out."""
    before = _options_before(job.output).get(VALIDATION)
    if before is not None and before != validation_hash(job):
        raise UserError(
            f"{job.output.rstrip('/')}: holds a run with other videos in --held-out; give another --output, "
            "or the file that it began with"
        )


def _options_before(output: str) -> dict[str, Any]:
    """Of the run that began in `output`; none if none did."""
    uri = f"{output.rstrip('/')}/{PRETRAIN_OPTIONS}"
    filesystem, path = filesystem_of(uri)
    return read_object(uri, fix="give another --output") if filesystem.exists(path) else {}
