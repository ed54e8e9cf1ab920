"""Ask a fine-tuned model about videos, and tell how right it is where the answers are known.

vbert predict --tables tables/ --model runs/labels/model --annotations labels.csv --output answers/
"""

from vbert.distributed.predict import PredictConfig, predict
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: PredictConfig) -> int:
    """Run the job and say what it found."""
    summary = predict(config)
    found = summary.accounting
    missing = (
        {"annotated videos missing": f"{found.num_missing_videos} of {found.num_videos}"} if found else {}
    )
    print_summary(
        f"predict: {summary.task}, {summary.num_answers:,} answers, {summary.num_known:,} of them to compare",
        {
            **summary.comparison.lines(),
            "without clips": summary.num_without_clips,
            **missing,
            "time": duration_text(summary.seconds),
            "answers": summary.answers,
        },
    )
    return OK
