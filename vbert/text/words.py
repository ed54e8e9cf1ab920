"""Words and the times at which they are said."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from vbert.errors import VideoError
from vbert.text.sentences import Word

# Words, tags and entities: fifty hours of speech with a time for each word. A word of one letter takes 140
# times its bytes of memory.
MAX_PIECES = 2_000_000
PIECE = re.compile(r"[^\s<&]+|[<&]")  # a word, a tag, an entity
# Chinese and Japanese have no space after a full stop.
WIDE_STOPS = "\u3002\uff01\uff1f\uff61\uff0e"
AFTER_WIDE_STOP = re.compile(
    rf"""(?<=[{WIDE_STOPS}])(?=[^\s"'\u2019\u201d)\]\u300d\u300f\uff09{WIDE_STOPS}])"""
)


def spread(texts: Sequence[str], start_seconds: float, end_seconds: float) -> list[Word]:
    """Words that share a time, one after the other and without a pause: longer ones take longer."""
    texts = [part for text in texts for part in AFTER_WIDE_STOP.split(text)]
    # One more letter for the space between two words.
    a_letter = max(0.0, end_seconds - start_seconds) / max(1, sum(len(text) + 1 for text in texts) - 1)
    words: list[Word] = []
    at = start_seconds
    for text in texts:
        until = at + (len(text) + 1) * a_letter
        words.append(Word(text, at, until))
        at = until
    if words:
        words[-1] = words[-1]._replace(end_seconds=max(start_seconds, end_seconds))
    return words


def later_starts(starts: Sequence[float]) -> list[float]:
    """For each of rising starts the next one that is later; infinity for the last."""
    found = [float("inf")] * len(starts)
    for at in range(len(starts) - 2, -1, -1):
        found[at] = starts[at + 1] if starts[at + 1] > starts[at] else found[at + 1]
    return found


def next_starts(starts: Sequence[float]) -> list[float]:
    """For each start the one after it; infinity for the last."""
    return [*starts, float("inf")][1:]


def check_length(texts: Iterable[str]) -> None:
    """Raises VideoError("transcript", reason) for more than MAX_PIECES."""
    pieces = (piece for text in texts for piece in PIECE.finditer(text))
    if next(islice(pieces, MAX_PIECES, None), None):
        raise VideoError("transcript", f"more than {MAX_PIECES:,} words, tags and entities")
