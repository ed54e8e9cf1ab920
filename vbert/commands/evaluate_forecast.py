"""Tell which clip comes next in videos that a pretrained model has not seen, against two baselines.

vbert evaluate-forecast --tables tables/ --model runs/first/model --videos heldout.csv
"""

from vbert.distributed.evaluate_forecast import ForecastConfig, evaluate_forecast
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: ForecastConfig) -> int:
    """Run the job and say what it found."""
    summary = evaluate_forecast(config)
    print_summary(
        f"evaluate_forecast: {summary.num_clips:,} clips of {summary.num_videos:,} videos",
        {
            "scene changes among them": summary.num_scene_changes,
            **summary.comparison.lines(),
            **summary.verdicts(),
            "time": duration_text(summary.seconds),
            **({"metrics": config.output} if config.output else {}),
        },
    )
    return OK
