"""Remove every trace of some videos from the tables, older versions included, and keep them out.

vbert forget --tables tables/ --video s3://bucket/videos/talk.mp4 --dry-run
"""

from vbert.errors import OK
from vbert.progress import print_summary
from vbert.upkeep.forget import ForgetConfig, forget


def main(config: ForgetConfig) -> int:
    """Run the job and say what it did, and what it does not reach."""
    summary = forget(config)
    rows = ", ".join(f"{count:,} of {name}" for name, count in summary.num_rows.items())
    print_summary(
        "forget: a dry run, nothing was changed" if config.dry_run else "forget",
        {
            "videos": ", ".join(summary.video_ids),
            "rows": rows,
            "exemplars of visual words": summary.num_exemplars,
            "files of older versions": summary.num_files,
            "files of search's indexes": summary.num_shards,
            "tables": config.tables,
        },
    )
    print(
        "\nNot reached: the files of the video and its transcript; reports, predictions and examples written "
        "before;\nmodels trained on them, whose checkpoints also carry a copy of their vocabulary."
    )
    return OK
