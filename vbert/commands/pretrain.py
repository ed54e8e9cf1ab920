"""Pretrain VideoBERT on documents: Ray Train on the GPUs of the cluster, or on its CPUs.

vbert pretrain --tables tables/ --vocabulary tables/vocabularies/0123456789abcdef --output runs/first
"""

from vbert.distributed.pretrain import pretrain
from vbert.distributed.pretrain_config import PretrainConfig
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: PretrainConfig) -> int:
    """Run the job and say what it did."""
    summary = pretrain(config)
    metrics = {name: f"{value:.3f}" for name, value in summary.metrics.items()}
    before = ", finished before" if summary.was_finished else ""
    print_summary(
        f"pretrain: {summary.num_steps:,} steps{before}",
        {
            "training videos": summary.num_training_videos,
            "validation videos": summary.num_validation_videos,
            "documents": f"version {summary.documents_version}",
            **{f"validation {name}": value for name, value in metrics.items()},
            "time": duration_text(summary.seconds),
            "model": summary.model,
        },
    )
    return OK
