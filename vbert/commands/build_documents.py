"""Turn features and transcripts into documents, the training shards: table `documents`.

vbert build-documents --tables tables/ --vocabulary tables/vocabularies/0123456789abcdef
"""

from vbert.distributed.build_documents import DocumentsConfig, build_documents
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: DocumentsConfig) -> int:
    """Run the job and say what it did."""
    summary = build_documents(config)
    print_summary(
        f"build_documents: vocabulary {summary.vocabulary}",
        {
            "built": summary.num_built,
            "unchanged, skipped": summary.num_unchanged,
            "dropped": summary.num_dropped,
            **({"captions' names of several videos, left out": n} if (n := summary.num_ambiguous) else {}),
            **({"changed meanwhile, run again": summary.num_postponed} if summary.num_postponed else {}),
            "visual tokens": summary.num_tokens,
            "sentences": summary.num_sentences,
            **({"of these after their video's end": n} if (n := summary.num_late_sentences) else {}),
            **{
                f"left out, {what}": count
                for what, count in (
                    ("copies of other videos", summary.num_duplicates),
                    ("videos in other languages", summary.num_other_languages),
                    ("black clips", summary.num_black),
                    ("clips that stand still", summary.num_stills),
                    ("clips with a cut", summary.num_cuts),
                )
                if count
            },
            "time": duration_text(summary.seconds),
            "tables": config.tables,
        },
    )
    return OK
