"""Fine-tune a pretrained model for a task.

vbert finetune --task classification --tables tables/ --model runs/first/model \
    --annotations labels.csv --output runs/labels
"""

from vbert.distributed.finetune import FinetuneConfig, finetune
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: FinetuneConfig) -> int:
    """Run the job and say what it did."""
    summary = finetune(config)
    found = summary.accounting
    before = ", finished before" if summary.was_finished else ""
    print_summary(
        f"finetune: {config.task}, {summary.num_steps:,} steps{before}",
        {
            "examples to train on": summary.num_training_examples,
            "examples to validate on": summary.num_validation_examples,
            "of no use to the task": summary.num_unusable,
            "annotated videos missing": f"{found.num_missing_videos} of {found.num_videos}",
            **({"copies left out of a split": found.num_straddling} if found.num_straddling else {}),
            **{f"validation {name}": f"{value:.3f}" for name, value in summary.metrics.items()},
            "time": duration_text(summary.seconds),
            "model": summary.model,
        },
    )
    return OK
