"""Join small files into shards of 128-512 MB and delete what no recent version names.

vbert compact-tables --tables tables/
"""

from vbert.distributed.compact_tables import CompactConfig, compact_tables
from vbert.errors import OK
from vbert.progress import print_summary


def main(config: CompactConfig) -> int:
    """Run the job and say what it did."""
    summary = compact_tables(config)
    facts = {
        name: f"{summary.num_joined[name]:,} files joined into {summary.num_shards[name]:,}, "
        f"{summary.num_deleted[name]:,} old files deleted"
        + (
            f", {summary.num_left[name]:,} left to another job that changed them"
            if summary.num_left[name]
            else ""
        )
        for name in summary.num_joined
    }
    print_summary("compact_tables", facts | {"tables": config.tables})
    return OK
