"""Transcripts -> sentences with times, as people and machines write them: WebVTT, SRT, SubViewer, SubStation
Alpha, TTML, YouTube's json3 and srv, Whisper's JSON.

What a file is, its content says, not its name. Broken times are repaired, always in the same way: a cue that
begins before 0 begins at 0, one that ends before it begins is dropped, words are put in order, and none lasts
into the next.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from vbert.errors import VideoError
from vbert.storage.files import extension_of, open_file
from vbert.text.cues import Cue, find_cues, said_once, timed_pieces
from vbert.text.encodings import decode_and_say
from vbert.text.encodings import decode_text as decode_text
from vbert.text.json_transcripts import OTHER_JSON, parse_json
from vbert.text.marked_up import is_substation, parse_xml, substation_cues
from vbert.text.sentences import Word, split_sentences
from vbert.text.words import check_length, later_starts, next_starts, spread

MAX_BYTES = 64 << 20  # ten hours of speech with a time for each word are 10 MB

# Threads that parse wait for each other anyway, and so no more than one large transcript is in memory.
PARSING = threading.Lock()

NO_TIMES = "none of its cues has times that can be used"
UNKNOWN = "no transcript that is known: no line with a time, nor JSON or XML"
# A line of YouTube's SubViewer: 0:00:01.000,0:00:03.500
SBV_TIMING = re.compile(r"^(\d{1,4}:\d\d:\d\d\.\d{3}),(\d{1,4}:\d\d:\d\d\.\d{3})$", re.MULTILINE)


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

    Text is UTF-8, or UTF-16, or what it looks like. Raises VideoError("transcript",
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
        try:
            sentences, lost = _parse(text)
        except VideoError as error:
            if error.reason != OTHER_JSON or extension_of(uri) != "json":
                raise
            return Transcript(sentences=[], notes=("the JSON beside it is no transcript",))  # a downloader's
    return Transcript(sentences=sentences, lost=lost, notes=tuple(notes))


def parse_transcript(text: str) -> list[Sentence]:
    """The sentences of a transcript's text. Raises VideoError("transcript", reason)."""
    return _parse(text)[0]


def _parse(text: str) -> tuple[list[Sentence], str | None]:
    text = text.lstrip("\n \ufeff")
    if is_substation(text):
        return to_sentences(_words_of(substation_cues(text))), None
    if text.startswith(("{", "[")):
        return to_sentences(parse_json(text)), None
    if text.startswith("<"):
        words, cues = parse_xml(text)
        return to_sentences([*words, *_words_of(cues)]), None
    return _parse_cues(SBV_TIMING.sub(r"\1 --> \2", text))


def _parse_cues(text: str) -> tuple[list[Sentence], str | None]:
    has_arrow = "-->" in text
    if not text.strip() or (not has_arrow and text.startswith("WEBVTT")):
        return [], None
    check_length([text])
    cues, num_bad = find_cues(text)
    if not cues:
        raise VideoError("transcript", NO_TIMES if has_arrow else UNKNOWN)
    lost = f"{num_bad:,} of {num_bad + len(cues):,} cues have no times that can be used" if num_bad else None
    return to_sentences(_words_of(cues)), lost


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
    followings = later_starts([cue.start_seconds for cue in said])
    return [
        word
        for cue, following in zip(said, followings, strict=True)
        for texts, start, end in timed_pieces(cue, min(cue.end_seconds, following))
        for word in spread(texts, start, end)
    ]


def _in_order(words: Sequence[Word]) -> list[Word]:
    """Sorted by start; none before 0, none longer than until the next begins."""
    spoken = sorted((word for word in words if word.end_seconds >= 0), key=lambda word: word.start_seconds)
    starts = [max(0.0, word.start_seconds) for word in spoken]
    return [
        Word(word.text, start, max(start, min(word.end_seconds, following)))
        for word, start, following in zip(spoken, starts, next_starts(starts), strict=True)
    ]
