"""Write one HTML page about a corpus and its model: visual words, documents, curves, metrics, failures.

vbert report --tables tables/ --vocabulary tables/vocabularies/0123456789abcdef --run runs/first
"""

from vbert.distributed.report import ReportConfig, report
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: ReportConfig) -> int:
    """Run the job and say where the page is."""
    summary = report(config)
    print_summary(
        f"report: {summary.num_tokens:,} visual tokens",
        {
            "frames": summary.num_images,
            "frames that could not be had": summary.num_missing_images,
            "problems of videos": summary.num_problems,
            "size": f"{summary.num_bytes / 1e6:.1f} MB",
            "time": duration_text(summary.seconds),
            "page": summary.output,
        },
    )
    return OK
