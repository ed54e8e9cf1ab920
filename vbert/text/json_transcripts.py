"""Transcripts in JSON -> words: YouTube's json3, youtube-transcript-api's, and what Whisper, whisperX and
whisper.cpp write."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vbert.errors import VideoError
from vbert.text.cues import plain_text
from vbert.text.sentences import Word
from vbert.text.words import check_length, next_starts, spread

MAX_SECONDS = 10_000 * 3600  # more than a time with four digits of hours
OTHER_JSON = "JSON of another shape than YouTube's json3 or Whisper's"


def parse_json(text: str) -> list[Word]:
    """The words of a transcript in JSON.

    Raises VideoError("transcript", reason) for a broken one, and for one of another shape.
    """
    try:
        content = json.loads(text, parse_constant=_refuse)
        if isinstance(content, dict) and "events" in content:
            return words_of_events(content["events"])
        if isinstance(content, dict) and "transcription" in content:
            return _of_segments([_of_whisper_cpp(entry) for entry in content["transcription"]])
        if _is_list_of(content, "text", "start", "duration"):
            return words_of_events([_of_youtube(line) for line in content])
        segments = content["segments"] if isinstance(content, dict) and "segments" in content else content
        if _is_list_of(segments, "start", "end", "text"):
            return _of_segments(segments)
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VideoError("transcript", f"broken JSON: {type(error).__name__} {error}") from error
    raise VideoError("transcript", OTHER_JSON)


def words_of_events(events: Sequence[Mapping[str, Any]]) -> list[Word]:
    """The words of YouTube's events in milliseconds, segments of them with offsets.

    An event's duration is how long its line stays on screen, beyond the next one's start; a word ends where
    the next begins.
    """
    check_length(str(segment["utf8"]) for event in events for segment in event.get("segs", ()))
    pieces = [piece for event in events if "segs" in event for piece in _event_pieces(event)]
    pieces.sort(key=lambda piece: piece[1])
    starts = [start for _, start, _ in pieces]
    return [
        word
        for (texts, start, until), end in zip(pieces, next_starts(starts), strict=True)
        for word in spread(texts, start, min(until, end))
    ]


def _of_segments(segments: Sequence[Mapping[str, Any]]) -> list[Word]:
    """Whisper's segments, with a time for each word where it was asked for them."""
    check_length(str(segment["text"]) for segment in segments)
    return [word for segment in segments for word in _of_segment(segment)]


def _of_segment(segment: Mapping[str, Any]) -> Iterator[Word]:
    start, end = _seconds(segment["start"]), _seconds(segment["end"])
    words = segment.get("words") or []
    if not words:
        yield from spread(plain_text(str(segment["text"])).split(), start, end)
    # whisperX leaves out the times of what it cannot align, such as numbers.
    starts = [_seconds(word["start"]) if "start" in word else None for word in words]
    at = start
    for number, word in enumerate(words):
        begin = starts[number]
        begin = at if begin is None else begin
        following = next((later for later in starts[number + 1 :] if later is not None), end)
        at = _seconds(word["end"]) if "end" in word else following
        yield from spread(plain_text(str(word["word"])).split(), begin, at)


def _is_list_of(content: Any, *names: str) -> bool:
    """Of objects that have these, as the first of them tells."""
    return isinstance(content, list) and bool(content) and set(names) <= content[0].keys()


def _of_youtube(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of youtube-transcript-api -> the event that it came from."""
    start, duration = 1000 * float(line["start"]), 1000 * float(line["duration"])
    return {"tStartMs": start, "dDurationMs": duration, "segs": [{"utf8": str(line["text"])}]}


def _of_whisper_cpp(entry: Mapping[str, Any]) -> dict[str, Any]:
    offsets = entry["offsets"]
    return {"start": offsets["from"] / 1000, "end": offsets["to"] / 1000, "text": entry["text"]}


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not abs(seconds) < MAX_SECONDS:
        raise ValueError(f"{value} is no time")
    return seconds


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no time")


def _event_pieces(event: Mapping[str, Any]) -> list[tuple[list[str], float, float]]:
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
