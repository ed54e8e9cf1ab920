"""Words with times -> sentences, where the text has full stops and where it has none.

Automatic captions have no punctuation. Their sentences end here where the speaker pauses, or after so many
words; they get a capital letter and a full stop. That stands in for a model that restores punctuation (the
paper used one): such a model's words can be given to `split_sentences` as they are.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


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

ENDING = re.compile(r"""[.?!\u2026\u3002\uff01\uff1f]["'\u2019\u201d)\]]{0,3}$""")
# Words whose full stop ends no sentence.
ABBREVIATIONS = {
    "mr.",
    "mrs.",
    "ms.",
    "dr.",
    "prof.",
    "st.",
    "vs.",
    "e.g.",
    "i.e.",
    "tbsp.",
    "tsp.",
    "oz.",
    "lb.",
}
INITIAL = re.compile(r"^[A-Za-z]\.$")


def split_sentences(words: Sequence[Word]) -> Iterator[tuple[str, Word, Word]]:
    """The text, first and last word of each sentence; `words` are in time order."""
    punctuated = _is_punctuated(words)
    sentence: list[Word] = []
    for index, word in enumerate(words):
        sentence.append(word)
        following = words[index + 1] if index + 1 < len(words) else None
        ends = _ends_punctuated if punctuated else _ends_unpunctuated
        if following is None or ends(sentence, following):
            yield _text(sentence, punctuated=punctuated), sentence[0], sentence[-1]
            sentence = []


def _is_punctuated(words: Sequence[Word]) -> bool:
    num_endings = sum(ENDING.search(word.text) is not None for word in words)
    return num_endings > 0 and num_endings * WORDS_A_FULL_STOP >= len(words)


def _ends_punctuated(sentence: Sequence[Word], following: Word) -> bool:
    if len(sentence) >= MAX_PUNCTUATED_WORDS:
        return True
    last = sentence[-1].text
    if ENDING.search(last) is None:
        return False
    if last.lower() in ABBREVIATIONS or (INITIAL.match(last) and last != "I."):
        return False
    # "etc. and so on", "well... yes": a small letter goes on with the sentence, unless ! or ? has ended it.
    return not following.text[:1].islower() or last.rstrip("\"')]\u2019\u201d")[-1:] in "?!"


def _ends_unpunctuated(sentence: Sequence[Word], following: Word) -> bool:
    pause_seconds = following.start_seconds - sentence[-1].end_seconds
    return pause_seconds >= PAUSE_SECONDS or len(sentence) >= MAX_WORDS


def _text(sentence: Sequence[Word], *, punctuated: bool) -> str:
    text = " ".join(word.text for word in sentence)
    if punctuated:
        return text
    text = text[:1].upper() + text[1:]
    return text if ENDING.search(text) else text + "."
