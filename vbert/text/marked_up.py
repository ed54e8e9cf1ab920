"""Transcripts with mark-up -> words or cues: YouTube's srv1, srv2 and srv3, TTML, SubStation Alpha."""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element  # nosec B405

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from vbert.errors import VideoError
from vbert.text.cues import Cue, cue_of
from vbert.text.json_transcripts import words_of_events
from vbert.text.sentences import Word
from vbert.text.words import check_length

SUBSTATION = re.compile(r"\[(Script Info|V4\+? Styles|Events)\]", re.IGNORECASE)
CLOCK = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9})|:(\d{1,3}))?")
OFFSET = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s|f|t)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def is_substation(text: str) -> bool:
    """Whether it is SubStation Alpha, plain or advanced: by its first section."""
    return SUBSTATION.match(text.lstrip()) is not None


def substation_cues(text: str) -> list[Cue]:
    """The lines of SubStation Alpha that are text: no comments, no drawings.

    Raises VideoError("transcript", reason) for a broken file.
    """
    import pysubs2  # few corpora have such files

    check_length([text])
    try:
        found = pysubs2.SSAFile.from_string(text, format_="ass")
    except (pysubs2.Pysubs2Error, ValueError, LookupError) as error:
        raise VideoError("transcript", f"cannot be read: {type(error).__name__} {error}") from error
    return [
        cue_of(event.start / 1000, event.end / 1000, event.plaintext.split("\n"))
        for event in found
        if event.is_text and event.end >= event.start
    ]


def parse_xml(text: str) -> tuple[list[Word], list[Cue]]:
    """The words of YouTube's srv3, or the cues of its srv1, srv2 and of TTML.

    Raises VideoError("transcript", reason) for another XML, a broken one, or one that declares entities.
    """
    check_length([text])
    try:
        root = fromstring(text.encode())
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise VideoError("transcript", f"not XML: {type(error).__name__} {error}") from error
    kind = _local(root.tag)
    try:
        if kind == "timedtext" and root.find("body") is not None:
            return words_of_events([_event(element) for element in root.iter("p")]), []
        if kind in ("timedtext", "transcript"):
            return [], [_line(element) for element in root.iter("text")]
        if kind == "tt":
            return [], list(_ttml_cues(root))
    except (ValueError, KeyError, TypeError) as error:
        raise VideoError("transcript", f"broken {kind}: {type(error).__name__} {error}") from error
    raise VideoError("transcript", f"XML of another kind: <{kind}>")


def _event(element: Element) -> dict[str, Any]:
    """A paragraph of srv3 as json3 has it: times in milliseconds, words with offsets."""
    segments = [{"utf8": part.text or "", "tOffsetMs": part.get("t", 0)} for part in element.iter("s")]
    whole = [{"utf8": "".join(element.itertext())}]
    return {
        "tStartMs": element.get("t", 0),
        "dDurationMs": element.get("d", 0),
        "segs": segments or whole,
    }


def _line(element: Element) -> Cue:
    """A line of srv1 (`start`, `dur` in seconds) or srv2 (`t`, `d` in milliseconds)."""
    if "start" in element.attrib:
        start, length = float(element.attrib["start"]), float(element.get("dur", 0))
    else:
        start, length = float(element.attrib["t"]) / 1000, float(element.get("d", 0)) / 1000
    return cue_of(start, start + length, "".join(element.itertext()).split("\n"))


def _ttml_cues(root: Element) -> Iterator[Cue]:
    """Each paragraph, or its spans where they have times of their own (Timed Text Markup Language 2, section
    12). Times count from those of what is around."""
    rates = {
        "f": float(_attribute(root, "frameRate") or 30),
        "t": float(_attribute(root, "tickRate") or _attribute(root, "frameRate") or 1),
    }

    def timed(element: Element, since: float) -> Iterator[Cue]:
        begin = since + (_time(_attribute(element, "begin"), rates) or 0.0)
        parts = [part for part in element if _local(part.tag) in ("body", "div", "p", "span")]
        has_times = any(_attribute(part, "begin") for part in parts)
        if _local(element.tag) in ("tt", "body", "div") or has_times:
            for part in parts:
                yield from timed(part, begin)
            return
        end, length = _time(_attribute(element, "end"), rates), _time(_attribute(element, "dur"), rates)
        until = since + end if end is not None else begin + (length or 0.0)
        yield cue_of(begin, max(begin, until), _text(element).split("\n"))

    yield from timed(root, 0.0)


def _text(element: Element) -> str:
    """Its words, a line break where it has one; the white space of the file is none."""
    parts = [" ".join((element.text or "").split())]
    for part in element:
        parts.append("\n" if _local(part.tag) == "br" else _text(part))
        parts.append(" ".join((part.tail or "").split()))
    return " ".join(parts)


def _time(text: str | None, rates: dict[str, float]) -> float | None:
    """Seconds of a clock or an offset; None: there is none. ValueError for another text."""
    if text is None:
        return None
    if (clock := CLOCK.fullmatch(text.strip())) is not None:
        hours, minutes, seconds, fraction, frames = clock.groups()
        whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        return whole + float(f"0.{fraction or 0}") + int(frames or 0) / rates["f"]
    if (offset := OFFSET.fullmatch(text.strip())) is not None:
        number, unit = float(offset[1]), offset[2]
        return number * UNITS[unit] if unit in UNITS else number / rates[unit]
    raise ValueError(f"{text!r} is no time")


def _attribute(element: Element, name: str) -> str | None:
    """Whatever its name space."""
    return next((value for key, value in element.attrib.items() if _local(key) == name), None)


def _local(tag: Any) -> str:
    return str(tag).rsplit("}", 1)[-1]
