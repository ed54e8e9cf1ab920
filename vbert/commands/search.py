"""Find clips in a whole corpus: by a text and a model, or by an example and no model.

vbert search "cut an onion" --tables tables/ --model runs/retrieval/model --html found.html
vbert search --like talk.mp4@12.5 --tables tables/
"""

from vbert.distributed.search import SearchConfig, search
from vbert.errors import OK
from vbert.progress import duration_text, print_summary


def main(config: SearchConfig) -> int:
    """Run the job and print what it found."""
    summary = search(config)
    for number, result in enumerate(summary.results, start=1):
        print(f"{number:>4}  {result.hit.score:7.3f}  {result.times():>19}  {result.uri}")
    print_summary(
        f"search: {len(summary.results):,} results",
        {
            "by": summary.how,
            "asked in": f"{summary.asked_seconds:.2f} s",
            "time": duration_text(summary.seconds),
            **({"page": config.html} if config.html else {}),
        },
    )
    return OK
