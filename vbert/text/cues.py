"""WebVTT and SRT -> what is said when, however loosely they are written.

pysubs2 reads two of our nineteen odd files not at all (no fractions, fractions after a colon) and leaves out
the times that YouTube gives to words; so these two formats are read here.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

# Bounded repetitions throughout: a hostile file takes time in proportion to its length.
# Translation services put a space behind punctuation: "00: 00: 01, 500 -> 00: 00: 02, 000".
CLOCK = r"(?:(\d{1,4}): ?)?(\d{1,2}): ?(\d{1,2})(?: ?[.,:] ?(\d{1,9}))?"
ARROW = "(?:(?:- ?){1,3}(?:>|&gt;)|[\u2013\u2014] ?>|\u2192)"
TIMING = re.compile(rf"\s{{0,9}}(-?){CLOCK}\s{{0,9}}{ARROW}\s{{0,9}}(-?){CLOCK}(?=\s|$)")
NO_TIMING = re.compile(r"\s{0,9}-?\d[^\s]{0,40}\s{0,9}--(?:>|&gt;)")  # a line that should be one
NUMBER = re.compile(r"\s{0,9}\d{1,9}\s{0,9}$")
INLINE_TIME = re.compile(r"<(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,9})>")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|</?>|\{\\[^{}]{0,80}\}")  # <i>, <c.colorE5E5E5>, <v Ann>, {\an8}
BRACKETS = re.compile(r"\[[^\[\]]{0,120}\]")  # [Music], also over two lines
NOT_SPEECH = re.compile(r"\[[^\[\]]{0,80}\]|[♪♫]|>>")  # [Music], [__], >> for another speaker
ASIDE = re.compile(r"\s*\([^()]{0,120}\)\s*")  # (applause), where it is all there is in a line or a cue
DASH = re.compile(r"^\s*[-–]\s+")  # the second speaker of a cue  # noqa: RUF001
HARD_SPACE, HARD_BREAK = re.compile(r"\\h"), re.compile(r"\\[Nn]")  # as converters from SSA leave them

STILL_SHOWN_SECONDS = 0.05  # between a cue's end and the next one's start nothing was cleared
FREEZE_SECONDS = 0.3  # YouTube's cue that holds a line still takes 10 ms
ROLLING_SHARE = 0.1  # of all cues of automatic captions, most repeat a line and add one


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines of text that are shown together: as written, and as read."""

    start_seconds: float
    end_seconds: float
    lines: list[str]
    plain: list[str] = field(default_factory=list)


def find_cues(text: str) -> tuple[list[Cue], int]:
    """The cues in their order, and how many have no times that can be used."""
    lines = text.split("\n")
    is_webvtt = text.startswith("WEBVTT")
    timings = [(at, timing) for at, line in enumerate(lines) if (timing := _timing(line)) is not None]
    ends = [*(at for at, _ in timings), len(lines)][1:]
    num_bad = sum(NO_TIMING.match(line) is not None and _timing(line) is None for line in lines)
    cues = []
    for (at, (start, end)), until in zip(timings, ends, strict=True):
        body = _body(lines[at + 1 : until], is_last=until == len(lines), is_webvtt=is_webvtt)
        if end >= max(start, 0.0):
            cues.append(cue_of(max(0.0, start), end, body))
        else:
            num_bad += end >= 0 and bool(body)
    return cues, num_bad


def _timing(line: str) -> tuple[float, float] | None:
    found = TIMING.match(line)
    if found is None:
        return None
    first, second = found.groups()[:5], found.groups()[5:]
    # "from 1:20 -> 2:30" is text: without an arrow of the formats' own, times have hours or fractions.
    if "-->" not in found[0] and not all(clock[1] or clock[4] for clock in (first, second)):
        return None
    return seconds_of(*first), seconds_of(*second)


def seconds_of(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    """Of the parts of a clock."""
    value = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    exact = value + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)
    return -exact if sign else exact


def _body(lines: Sequence[str], *, is_last: bool, is_webvtt: bool) -> list[str]:
    """What of the lines between two timings is a cue's text. In WebVTT an empty line ends it; SRT is often
    written with such lines within, or without any."""
    kept = list(takewhile(lambda line: NO_TIMING.match(line) is None, lines))
    is_followed = not is_last or len(kept) < len(lines)
    if is_webvtt and "" in kept:
        kept, is_followed = kept[: kept.index("")], False
    kept = _without_end(kept)
    if is_followed and kept and NUMBER.match(kept[-1]):
        kept = _without_end(kept[:-1])  # the number of the next cue
    return kept


def _without_end(lines: list[str]) -> list[str]:
    """Without the empty lines at its end."""
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


def cue_of(start_seconds: float, end_seconds: float, body: Sequence[str]) -> Cue:
    """Lines as they are written -> a cue."""
    text = HARD_BREAK.sub("\n", HARD_SPACE.sub(" ", "\n".join(body)))
    lines = BRACKETS.sub(lambda found: " " + "\n" * found[0].count("\n"), text).split("\n")
    plain = [plain_text(line) for line in lines]
    if ASIDE.fullmatch(" ".join(plain)):
        lines, plain = [], []
    return Cue(start_seconds, end_seconds, lines, plain)


def plain_text(text: str) -> str:
    """A line without tags, entities and what is not speech; words are divided by one space."""
    bare = NOT_SPEECH.sub(" ", html.unescape(TAG.sub("", INLINE_TIME.sub("", text))))
    bare = " ".join(DASH.sub("", bare).split())
    return "" if ASIDE.fullmatch(bare) else bare


def said_once(cues: Sequence[Cue]) -> list[Cue]:
    """The same cues, in time order, each without what an earlier one has said.

    Cues of the same times are one. Automatic captions roll: a cue repeats the line before, and adds one. A
    cue that repeats all and marks another word goes on with the one before. In captions that do not roll, a
    cue that repeats all says it again.
    """
    merged = _of_same_times(cues)
    counts = _repeated_lines(merged)
    num_rolling = sum(
        0 < count < len([line for line in cue.plain if line])
        for cue, count in zip(merged, counts, strict=True)
    )
    is_rolling = num_rolling > ROLLING_SHARE * len(merged)
    said: list[Cue] = []
    before: Cue | None = None
    for cue, count in zip(merged, counts, strict=True):
        adds_nothing = count > 0 and not any(cue.plain[count:])
        if adds_nothing and before and said and cue.plain == before.plain and cue.lines != before.lines:
            said[-1] = replace(said[-1], end_seconds=max(said[-1].end_seconds, cue.end_seconds))
        elif adds_nothing and not is_rolling and cue.end_seconds - cue.start_seconds >= FREEZE_SECONDS:
            said.append(cue)
        else:
            said.append(replace(cue, lines=cue.lines[count:], plain=cue.plain[count:]))
        before = cue
    return sorted(said, key=lambda cue: cue.start_seconds)


def _of_same_times(cues: Sequence[Cue]) -> list[Cue]:
    """Cues that share both times joined, a line that comes twice taken once."""
    found: dict[tuple[float, float], Cue] = {}
    for cue in cues:
        times = (cue.start_seconds, cue.end_seconds)
        there = found.get(times)
        if there is None:
            found[times] = cue
            continue
        new = [at for at, line in enumerate(cue.plain) if line and line not in there.plain]
        found[times] = replace(
            there,
            lines=there.lines + [cue.lines[at] for at in new],
            plain=there.plain + [cue.plain[at] for at in new],
        )
    return list(found.values())


def _repeated_lines(cues: Sequence[Cue]) -> list[int]:
    """How many lines at each cue's beginning were on screen when it came: the end of what was shown."""
    counts = []
    shown: list[str] = []
    shown_until = float("-inf")
    for cue in cues:
        is_shown = cue.start_seconds <= shown_until + STILL_SHOWN_SECONDS
        counts.append(_num_repeated(shown, cue.plain) if is_shown else 0)
        shown, shown_until = [line for line in cue.plain if line], cue.end_seconds
    return counts


def _num_repeated(shown: Sequence[str], lines: Sequence[str]) -> int:
    for count in range(min(len(shown), len(lines)), 0, -1):
        if list(lines[:count]) == list(shown[-count:]):
            return count
    return 0


def timed_pieces(cue: Cue, end_seconds: float) -> Iterator[tuple[list[str], float, float]]:
    """A cue's words with the times between which they are said: those of its own times within, or its own.

    Times within may count from the cue's start. Those that go backwards say nothing.
    """
    text = "\n".join(cue.lines)
    marks = list(INLINE_TIME.finditer(text))
    at = [seconds_of("", *mark.groups()) for mark in marks]
    if any(time < cue.start_seconds - 0.001 for time in at):
        at = [cue.start_seconds + time for time in at]
    if at != sorted(at) or (at and at[-1] > end_seconds + 1.0):
        text, marks, at = INLINE_TIME.sub("", text), [], []
    bounds = [cue.start_seconds, *(min(time, end_seconds) for time in at), end_seconds]
    cuts = [0, *(place for mark in marks for place in mark.span()), len(text)]
    pieces = [text[start:end] for start, end in zip(cuts[::2], cuts[1::2], strict=True)]
    for number, piece in enumerate(pieces):
        words = [word for line in piece.split("\n") for word in plain_text(line).split()]
        yield words, bounds[number], bounds[number + 1]
