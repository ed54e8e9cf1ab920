"""Find videos for texts and texts for videos with a pretrained model, against baselines.

vbert evaluate-retrieval --tables tables/ --model runs/first/model --annotations captions.csv
"""

from vbert.distributed.evaluate_retrieval import RetrievalConfig, evaluate_retrieval
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: RetrievalConfig) -> int:
    """Run the job and say what it found."""
    summary = evaluate_retrieval(config)
    found = summary.accounting
    print_summary(
        f"evaluate_retrieval: {summary.num_pairs:,} texts and videos",
        {
            "scored by": summary.how,
            **summary.comparison.lines(),
            "annotated videos missing": f"{found.num_missing_videos} of {found.num_videos}",
            "time": duration_text(summary.seconds),
            **({"metrics": config.output} if config.output else {}),
        },
    )
    return OK
