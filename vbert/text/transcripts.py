"""Transcripts -> sentences with times: WebVTT, SRT and YouTube's json3, as people and machines write them.

What a file is, its content says, not its name. Broken times are repaired, always in the same way: a cue that
begins before 0 begins at 0, one that ends before it begins is dropped, words are put in order, and none lasts
into the next.
"""

import json
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vbert.errors import VideoError
from vbert.storage.files import open_file
from vbert.text.cues import Cue, find_cues, plain_text, said_once, timed_pieces
from vbert.text.encodings import decode_and_say
from vbert.text.encodings import decode_text as decode_text
from vbert.text.sentences import Word, split_sentences

MAX_BYTES = 64 << 20  # ten hours of speech with a time for each word are 10 MB
# Words, tags and entities: fifty hours of speech with a time for each word. A word of one letter takes 140
# times its bytes of memory.
MAX_PIECES = 2_000_000
MAX_SECONDS = 10_000 * 3600  # more than a time with four digits of hours

# Threads that parse wait for each other anyway, and so no more than one large transcript is in memory.
PARSING = threading.Lock()

NO_TIMES = "none of its cues has times that can be used"
UNKNOWN = "neither WebVTT, SRT nor json3: no line with a time, no JSON object"
PIECE = re.compile(r"[^\s<&]+|[<&]")  # a word, a tag, an entity
# Chinese and Japanese have no space after a full stop.
WIDE_STOPS = "\u3002\uff01\uff1f\uff61\uff0e"
AFTER_WIDE_STOP = re.compile(
    rf"""(?<=[{WIDE_STOPS}])(?=[^\s"'\u2019\u201d)\]\u300d\u300f\uff09{WIDE_STOPS}])"""
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence and when it is said, in seconds of the presentation."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """What a file says."""

    sentences: list[Sentence]
    lost: str | None = None
    """What of it could not be read; None: nothing."""
    notes: tuple[str, ...] = ()
    """What was guessed."""


def read_transcript(uri: str) -> list[Sentence]:
    """The sentences of a local file or fsspec URL, in time order; see `open_transcript`."""
    return open_transcript(uri).sentences


def open_transcript(uri: str) -> Transcript:
    """A local file or fsspec URL, whatever it is named; an empty one has no sentences.

    Text is UTF-8, or UTF-16 with a byte order mark, or what it looks like. Raises VideoError("transcript",
    reason) for what cannot be read, is larger than 64 MB or MAX_PIECES, or is none of the three formats.
    """
    try:
        with open_file(uri) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise VideoError("transcript", error.strerror or str(error)) from error
    if len(content) > MAX_BYTES:
        raise VideoError("transcript", f"larger than {MAX_BYTES >> 20} MB")
    with PARSING:
        text, notes = decode_and_say(content)
        sentences, lost = _parse(text)
    return Transcript(sentences=sentences, lost=lost, notes=tuple(notes))


def parse_transcript(text: str) -> list[Sentence]:
    """The sentences of a transcript's text. Raises VideoError("transcript", reason)."""
    return _parse(text)[0]


def _parse(text: str) -> tuple[list[Sentence], str | None]:
    if not text.strip():
        return [], None
    if text.lstrip().startswith("{"):
        return to_sentences(parse_json3(text)), None
    has_arrow = "-->" in text
    if not has_arrow and text.lstrip().startswith("WEBVTT"):
        return [], None
    _check_length([text])
    cues, num_bad = find_cues(text.lstrip("\n \ufeff"))
    if not cues:
        raise VideoError("transcript", NO_TIMES if has_arrow else UNKNOWN)
    lost = f"{num_bad:,} of {num_bad + len(cues):,} cues have no times that can be used" if num_bad else None
    return to_sentences(_words_of(cues)), lost


def _check_length(texts: Iterable[str]) -> None:
    pieces = (piece for text in texts for piece in PIECE.finditer(text))
    if next(islice(pieces, MAX_PIECES, None), None):
        raise VideoError("transcript", f"more than {MAX_PIECES:,} words, tags and entities")


def to_sentences(words: Sequence[Word]) -> list[Sentence]:
    """Words in any order -> sentences in time order."""
    return [
        Sentence(text=text, start_seconds=first.start_seconds, end_seconds=last.end_seconds)
        for text, first, last in split_sentences(_in_order(words))
    ]


def _words_of(cues: Sequence[Cue]) -> list[Word]:
    """A cue ends where the next one begins: captions stay on screen while the next line is said, and words
    spread over all of that time would get among the next line's."""
    said = said_once(cues)
    followings = _later([cue.start_seconds for cue in said])
    return [
        word
        for cue, following in zip(said, followings, strict=True)
        for texts, start, end in timed_pieces(cue, min(cue.end_seconds, following))
        for word in spread(texts, start, end)
    ]


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


def parse_json3(text: str) -> list[Word]:
    """The words of YouTube's json3: events in milliseconds, segments of them with offsets.

    An event's duration is how long its line stays on screen, beyond the next one's start; a word ends where
    the next begins. Raises VideoError("transcript", reason) for JSON of another shape.
    """
    try:
        events = json.loads(text, parse_constant=_refuse)["events"]
        _check_length(str(segment["utf8"]) for event in events for segment in event.get("segs", ()))
        pieces = [piece for event in events if "segs" in event for piece in _event_pieces(event)]
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VideoError("transcript", f"not json3: {type(error).__name__} {error}") from error
    pieces.sort(key=lambda piece: piece[1])
    starts = [start for _, start, _ in pieces]
    return [
        word
        for (texts, start, until), end in zip(pieces, _nexts(starts), strict=True)
        for word in spread(texts, start, min(until, end))
    ]


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no time")


def _event_pieces(event: dict[str, Any]) -> list[tuple[list[str], float, float]]:
    """Words, start and end of each segment that says something."""
    start = _from_milliseconds(event["tStartMs"])
    end = start + _from_milliseconds(event.get("dDurationMs", 0))
    segments = [
        (plain_text(str(segment["utf8"])).split(), start + _from_milliseconds(segment.get("tOffsetMs", 0)))
        for segment in event["segs"]
    ]
    return [(texts, at, end) for texts, at in segments if texts]


def _from_milliseconds(value: Any) -> float:
    seconds = float(value) / 1000
    if not abs(seconds) < MAX_SECONDS:  # as 1e999, which JSON reads as infinity
        raise ValueError(f"{value} is no time")
    return seconds


def _in_order(words: Sequence[Word]) -> list[Word]:
    """Sorted by start; none before 0, none longer than until the next begins."""
    spoken = sorted((word for word in words if word.end_seconds >= 0), key=lambda word: word.start_seconds)
    starts = [max(0.0, word.start_seconds) for word in spoken]
    return [
        Word(word.text, start, max(start, min(word.end_seconds, following)))
        for word, start, following in zip(spoken, starts, _nexts(starts), strict=True)
    ]


def _later(starts: Sequence[float]) -> list[float]:
    """For each of rising starts the next one that is later; infinity for the last."""
    found = [float("inf")] * len(starts)
    for at in range(len(starts) - 2, -1, -1):
        found[at] = starts[at + 1] if starts[at + 1] > starts[at] else found[at + 1]
    return found


def _nexts(starts: Sequence[float]) -> list[float]:
    """For each start the one after it; infinity for the last."""
    return [*starts, float("inf")][1:]
