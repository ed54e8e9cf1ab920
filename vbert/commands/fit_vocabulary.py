"""Fit a visual vocabulary on a sample of the features table: `<tables>/vocabularies/<id>`.

vbert fit-vocabulary --tables tables/
"""

from vbert.distributed.fit_vocabulary import FitConfig, fit
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: FitConfig) -> int:
    """Run the job and say how good the vocabulary is."""
    summary = fit(config)
    quality = summary.quality
    print_summary(
        f"fit_vocabulary: features of {summary.featurizer}",
        {
            "clips sampled": quality.num_clips,
            "visual words": f"{summary.num_leaves:,}, {quality.num_used_leaves:,} of them used",
            "unexplained variance": f"{quality.unexplained_variance:.1%}",
            "entropy": f"{quality.entropy_bits:.2f} bits ({quality.entropy_share:.0%} of the most)",
            "most frequent word": f"{quality.largest_leaf_share:.1%} of the clips",
            "time": duration_text(summary.seconds),
            "vocabulary": summary.uri,
        },
    )
    return OK
