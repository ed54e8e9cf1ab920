"""Find videos that show the same, so that none is trained on that another is validated with.

vbert deduplicate --tables tables/
"""

from vbert.distributed.deduplicate import DeduplicateConfig, deduplicate
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: DeduplicateConfig) -> int:
    """Run the job and say what it found."""
    summary = deduplicate(config)
    print_summary(
        f"deduplicate: {summary.num_copies:,} copies in {summary.num_clusters:,} clusters",
        {
            "videos": summary.num_videos,
            "looked at": summary.num_new,
            "pairs compared": summary.num_pairs,
            "time": duration_text(summary.seconds),
            "table": f"{config.tables}/duplicates ({summary.featurizer})",
        },
    )
    return OK
