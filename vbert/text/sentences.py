"""Words with times -> sentences, where the text has full stops and where it has none.

Automatic captions have no punctuation. Their sentences end here where the speaker pauses, or after so many
words; they get a capital letter and a full stop. That stands in for a model that restores punctuation (the
paper used one): such a model's words can be given to `split_sentences` as they are.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from sentencex import segment


class Word(NamedTuple):
    """A word as written, punctuation included, and when it is said."""

    text: str
    start_seconds: float
    end_seconds: float


# A pause between sentences of read or planned speech is half a second and more; within one it is shorter.
PAUSE_SECONDS = 0.5
MAX_WORDS = 20  # English sentences have about 15 to 20 words
MAX_PUNCTUATED_WORDS = 60  # beyond, somebody forgot a full stop
# Text with a full stop for every 50 words is punctuated, if loosely.
WORDS_A_FULL_STOP = 50

# Full stops of many scripts (danda, Arabic, Urdu, Ethiopic, Armenian, Burmese, Khmer, full-width), and what
# may stand behind one.
STOPS = ".?!\u2026\u3002\uff01\uff1f\uff61\uff0e\u0964\u0965\u06d4\u061f\u1362\u0589\u104b\u17d4"
ENDING = re.compile(rf"""([{STOPS}])["'\u2019\u201d\u00bb\u203a)\]\u300d\u300f\uff09]{{0,3}}$""")
DOTS = ".\u2026"  # which also end abbreviations and pauses
UNITS = {"tbsp.", "tsp.", "oz.", "lb.", "lbs.", "approx.", "vs."}  # of recipes: sentencex does not know them
LOWER_CASE_SHARE = 0.8  # of the words behind a full stop: this text has no capital letters
WORDS_A_BLOCK, OVERLAP = 1000, 50  # sentencex takes a square of a text of quotation marks


def split_sentences(words: Sequence[Word]) -> Iterator[tuple[str, Word, Word]]:
    """The text, first and last word of each sentence; `words` are in time order."""
    endings = _endings(words)
    punctuated = len(endings) > 0 and len(endings) * WORDS_A_FULL_STOP >= len(words)
    first = 0
    for index in range(len(words)):
        sentence = words[first : index + 1]
        following = words[index + 1] if index + 1 < len(words) else None
        if following is None or (
            index in endings or len(sentence) >= MAX_PUNCTUATED_WORDS
            if punctuated
            else _ends_unpunctuated(sentence, following)
        ):
            yield _text(sentence, punctuated=punctuated), sentence[0], sentence[-1]
            first = index + 1


def _endings(words: Sequence[Word]) -> set[int]:
    """Which words end a sentence by their full stop, and not an abbreviation."""
    stops = {index: found[1] for index, word in enumerate(words) if (found := ENDING.search(word.text))}
    dots = [index for index, stop in stops.items() if stop in DOTS]
    if not dots:
        return set(stops)
    cuts = _cuts(words)
    candidates = [index for index in dots if index in cuts and words[index].text.lower() not in UNITS]
    # "etc. and so on", "well... yes": a small letter goes on with the sentence, in text that has large ones.
    followed = [words[index + 1].text[:1] for index in candidates if index + 1 < len(words)]
    has_capitals = sum(letter.islower() for letter in followed) < LOWER_CASE_SHARE * len(followed)
    ended = {
        index
        for index in candidates
        if not (has_capitals and index + 1 < len(words) and words[index + 1].text[:1].islower())
    }
    return ended | (set(stops) - set(dots))


def _cuts(words: Sequence[Word]) -> set[int]:
    """The words behind which sentencex ends a sentence: it knows the abbreviations of the language."""
    found: set[int] = set()
    for first in range(0, len(words), WORDS_A_BLOCK):
        begin = max(0, first - OVERLAP)
        block = words[begin : first + WORDS_A_BLOCK + OVERLAP]
        ends = list(accumulate(len(word.text) + 1 for word in block))  # with the space behind it
        at = 0
        for sentence in segment("en", " ".join(word.text for word in block)):
            at += len(sentence)
            index = begin + bisect_left(ends, at)
            if first <= index < first + WORDS_A_BLOCK:
                found.add(index)
    return found


def _ends_unpunctuated(sentence: Sequence[Word], following: Word) -> bool:
    pause_seconds = following.start_seconds - sentence[-1].end_seconds
    return pause_seconds >= PAUSE_SECONDS or len(sentence) >= MAX_WORDS


def _text(sentence: Sequence[Word], *, punctuated: bool) -> str:
    text = " ".join(word.text for word in sentence)
    if punctuated:
        return text
    text = text[:1].upper() + text[1:]
    return text if ENDING.search(text) else text + "."
