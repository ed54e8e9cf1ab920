"""Drop all rows of one featurizer, one visual vocabulary or one recogniser.

vbert drop --tables tables/ --vocabulary 0123456789abcdef --dry-run
"""

from vbert.errors import OK
from vbert.progress import print_summary, size_text
from vbert.upkeep.drop import DropConfig, drop


def main(config: DropConfig) -> int:
    """Run the job and say what it did."""
    summary = drop(config)
    kind, name = config.chosen
    files = ", ".join(f"{count:,} of {table}" for table, count in summary.num_files.items()) or "none"
    print_summary(
        "drop: a dry run, nothing was changed" if config.dry_run else "drop",
        {
            kind: name,
            "files": f"{files}; {size_text(summary.num_bytes)}, deleted by compact-tables in time",
            "tables": config.tables,
        },
    )
    return OK
