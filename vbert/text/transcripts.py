"""Transcripts -> sentences with times: WebVTT, SRT and YouTube's json3, as people and machines write them.

What a file is, its content says, not its name. Broken times are repaired, always in the same way: a cue that
begins before 0 begins at 0, one that ends before it begins is dropped, words are put in order, and none lasts
into the next.
"""

import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, NamedTuple

from vbert.errors import VideoError
from vbert.storage.files import open_file
from vbert.text.sentences import Word, split_sentences

MAX_BYTES = 64 << 20  # ten hours of speech with a time for each word are 10 MB
# Words, tags and entities: fifty hours of speech with a time for each word. A word of one letter takes 140
# times its bytes of memory.
MAX_PIECES = 2_000_000
MAX_SECONDS = 10_000 * 3600  # more than a time with four digits of hours

# Threads that parse wait for each other anyway, and so no more than one large transcript is in memory.
PARSING = threading.Lock()

# Bounded repetitions throughout: a hostile file takes time in proportion to its length.
CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
TIMING = re.compile(rf"\s{{0,9}}(-?){CLOCK}\s{{1,9}}-->\s{{1,9}}(-?){CLOCK}")
PIECE = re.compile(r"[^\s<&]+|[<&]")  # a word, a tag, an entity
INLINE_TIME = re.compile(rf"<{CLOCK}>")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|</?>|\{\\[^{}]{0,80}\}")  # <i>, <c.colorE5E5E5>, <v Ann>, {\an8}
NOT_SPEECH = re.compile(r"\[[^\[\]]{0,80}\]|[♪♫]|>>")  # [Music], [__], >> for another speaker
ASIDE = re.compile(r"\s*\([^()]{0,80}\)\s*")  # (applause), where it is all there is in a line
DASH = re.compile(r"^\s*[-–]\s+")  # the second speaker of a cue  # noqa: RUF001


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence and when it is said, in seconds of the presentation."""

    text: str
    start_seconds: float
    end_seconds: float


class Cue(NamedTuple):
    """Lines of text that are shown together."""

    start_seconds: float
    end_seconds: float
    lines: list[str]


def read_transcript(uri: str) -> list[Sentence]:
    """The sentences of a local file or fsspec URL, in time order; an empty file has none.

    Text is UTF-8, or UTF-16 with a byte order mark, or else Windows-1252. Raises VideoError("transcript",
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
        return parse_transcript(decode_text(content))


def parse_transcript(text: str) -> list[Sentence]:
    """The sentences of a transcript's text. Raises VideoError("transcript", reason)."""
    if not text.strip():
        return []
    if text.lstrip().startswith("{"):
        words = parse_json3(text)
    elif "-->" in text or text.startswith("WEBVTT"):
        _check_length([text])
        words = parse_cues(text)
    else:
        raise VideoError("transcript", "neither WebVTT, SRT nor json3: no line with a time, no JSON object")
    return to_sentences(words)


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


def decode_text(content: bytes) -> str:
    """Bytes of an unknown encoding as text with line ends of one kind."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def parse_cues(text: str) -> list[Word]:
    """The words of WebVTT or SRT: what stands under a line with two times, up to an empty line.

    Automatic captions roll: a cue repeats the line before. Such a line is taken once, and a line whose words
    have times of their own is taken with these.
    """
    said: list[Cue] = []
    shown: list[str] = []
    shown_until = float("-inf")
    for cue in _cues(text):
        plain = [_plain(line) for line in cue.lines]
        num_repeated = _num_repeated(shown, plain) if cue.start_seconds <= shown_until + 0.05 else 0
        said.append(cue._replace(lines=cue.lines[num_repeated:]))
        shown, shown_until = [line for line in plain if line], cue.end_seconds
    said.sort(key=lambda cue: cue.start_seconds)
    starts = [cue.start_seconds for cue in said]
    return [
        word
        for cue, following in zip(said, _nexts(starts), strict=True)
        for word in _cue_words("\n".join(cue.lines), cue.start_seconds, min(cue.end_seconds, following))
    ]


def _cues(text: str) -> Iterator[Cue]:
    lines = iter(text.split("\n"))
    for line in lines:
        timing = TIMING.match(line)
        if timing is None:
            continue
        start, end = _seconds(*timing.groups()[:5]), _seconds(*timing.groups()[5:])
        body = []
        for below in lines:
            if below == "":
                break
            body.append(below)
        if end >= max(start, 0.0):
            yield Cue(max(0.0, start), end, body)


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    value = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
    return -value if sign else value


def _plain(text: str) -> str:
    """A line without tags, entities and what is not speech; words are divided by one space."""
    bare = NOT_SPEECH.sub(" ", html.unescape(TAG.sub("", INLINE_TIME.sub("", text))))
    bare = " ".join(DASH.sub("", bare).split())
    return "" if ASIDE.fullmatch(bare) else bare


def _num_repeated(shown: Sequence[str], lines: Sequence[str]) -> int:
    """How many of `lines` were on screen before: its beginning that is the end of `shown`."""
    for count in range(min(len(shown), len(lines)), 0, -1):
        if list(lines[:count]) == list(shown[-count:]):
            return count
    return 0


def _cue_words(text: str, start_seconds: float, end_seconds: float) -> list[Word]:
    """The words of what stands between two times are spread over the time between.

    `end_seconds` is not after the next cue's start: captions stay on screen while the next line is said, and
    words spread over all of that time would get among the next line's.
    """
    marks = list(INLINE_TIME.finditer(text))
    times = [start_seconds, *(_seconds("", *mark.groups()) for mark in marks), end_seconds]
    cuts = [0, *(place for mark in marks for place in mark.span()), len(text)]
    pieces = [text[start:end] for start, end in zip(cuts[::2], cuts[1::2], strict=True)]
    return [
        word
        for piece, (start, end) in zip(pieces, pairwise(times), strict=True)
        for word in spread([word for line in piece.split("\n") for word in _plain(line).split()], start, end)
    ]


def spread(texts: Sequence[str], start_seconds: float, end_seconds: float) -> list[Word]:
    """Words that share a time, one after the other: longer ones take longer."""
    # One more letter for the space between two words.
    a_letter = max(0.0, end_seconds - start_seconds) / max(1, sum(len(text) + 1 for text in texts) - 1)
    words: list[Word] = []
    at = start_seconds
    for text in texts:
        words.append(Word(text, at, at + len(text) * a_letter))
        at += (len(text) + 1) * a_letter
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
        (_plain(str(segment["utf8"])).split(), start + _from_milliseconds(segment.get("tOffsetMs", 0)))
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


def _nexts(starts: Sequence[float]) -> list[float]:
    """For each start the one after it; infinity for the last."""
    return [*starts, float("inf")][1:]
