"""What a search finds."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """An interval of a video and how well it fits: a cosine, or an alignment's log-odds."""

    video_id: str
    start_seconds: float
    end_seconds: float
    score: float


def best_hits(hits: Iterable[Hit], *, num_results: int, num_per_video: int) -> list[Hit]:
    """The best, so many of one video at most. Of equals that of the lesser id and the earlier.

    Parts of a corpus may be asked one by one: the best of each part's best are the best of all.
    """
    found: list[Hit] = []
    counts: Counter[str] = Counter()
    for hit in sorted(hits, key=lambda hit: (-hit.score, hit.video_id, hit.start_seconds)):
        if len(found) == num_results:
            break
        counts[hit.video_id] += 1
        if counts[hit.video_id] <= num_per_video:
            found.append(hit)
    return found
