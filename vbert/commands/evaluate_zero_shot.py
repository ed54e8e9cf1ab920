"""Tell what labelled clips show with a model that has seen no label, against baselines that see no video.

vbert evaluate-zero-shot --tables tables/ --model runs/first/model --clips youcook2-clips.csv
"""

from vbert.distributed.evaluate_zero_shot import ZeroShotConfig, evaluate_zero_shot
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: ZeroShotConfig) -> int:
    """Run the job and say what it found."""
    summary = evaluate_zero_shot(config)
    words = f"{summary.num_verbs} verbs, {summary.num_objects} objects"
    print_summary(
        f"evaluate_zero_shot: {summary.num_clips:,} clips, {words}",
        {
            **{
                method: ", ".join(f"{name} {value:.1%}" for name, value in scores.items())
                for method, scores in summary.scores.items()
            },
            "clips without video": summary.num_missing,
            "time": duration_text(summary.seconds),
            **({"metrics": config.output} if config.output else {}),
        },
    )
    return OK
