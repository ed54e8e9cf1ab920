"""Decode and featurize every video that is new or has changed: tables `videos` and `features`.

vbert featurize --corpus videos/ --tables tables/
"""

from vbert.corpus.set_aside import SetAside
from vbert.distributed.featurize import FeaturizeConfig, FeaturizeSummary, featurize
from vbert.errors import OK, SOME_FAILED
from vbert.progress import duration_text, print_summary

EXTENSIONS_SHOWN = 5


def main(config: FeaturizeConfig) -> int:
    """Run the job and say what it did."""
    summary = featurize(config)
    for failure in summary.failures:
        print(f"not ok: {failure}")
    if (num_more := summary.num_failed + summary.num_partial - len(summary.failures)) > 0:
        print(f"... and {num_more:,} more in the table `videos`")
    num_done = summary.num_ok + summary.num_partial
    rate = summary.num_clips / summary.working_seconds if summary.working_seconds else 0.0
    fate = (
        f"{summary.num_dropped:,} dropped; others after {config.prune_after_days:g} days"
        if config.prune
        else "kept; --prune drops them in time"
    )
    print_summary(
        f"featurize: {summary.featurizer}",
        {
            "videos in the corpus": summary.num_listed,
            **_found_beside(summary.set_aside),
            "unchanged, skipped": summary.num_unchanged,
            "new transcript only": summary.num_new_transcripts,
            "featurized": f"{num_done:,} ({summary.num_partial:,} in part)",
            "failed": summary.num_failed,
            "gone from the corpus": f"{summary.num_removed:,} ({fate})",
            "clips": f"{summary.num_clips:,} ({rate:.1f} a second, once the workers were up)",
            **_work(summary),
            "time": duration_text(summary.seconds),
            "tables": config.tables,
        },
    )
    return SOME_FAILED if summary.num_failed or summary.num_partial else OK


def _work(summary: FeaturizeSummary) -> dict[str, object]:
    """Where the time went, and which side waited: a backbone that hardly does is what decoders wait for."""
    if not summary.num_clips:
        return {}
    decoding, network = (duration_text(s) for s in (summary.decode_seconds, summary.backbone_seconds))
    share = summary.wait_seconds / ((summary.wait_seconds + summary.backbone_seconds) or 1.0)
    return {
        "work": f"{decoding} of CPUs on decoding, {network} of actors in the backbone, which waited "
        f"{share:.0%} of its time for clips"
    }


def _found_beside(set_aside: SetAside) -> dict[str, object]:
    """What was found and is no video, nor a video's transcript."""
    by_count = sorted(set_aside.other_files.items(), key=lambda found: -found[1])
    kinds = [
        f"{count:,} {'.' + extension if extension else 'without extension'}" for extension, count in by_count
    ]
    if len(kinds) > EXTENSIONS_SHOWN:
        kinds = [*kinds[:EXTENSIONS_SHOWN], f"{len(kinds) - EXTENSIONS_SHOWN} other extensions"]
    found = {
        "other files, by extension": ", ".join(kinds),
        "other transcripts, not used": set_aside.num_unused_transcripts,
        "lines that come twice": set_aside.num_repeated,
        "forgotten, left alone": set_aside.num_forgotten,
    }
    return {name: value for name, value in found.items() if value}
