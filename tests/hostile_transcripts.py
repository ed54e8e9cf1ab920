"""Transcripts that are out to do harm, drawn from a seed; read in a process with a limit on memory.

    python -m tests.hostile_transcripts FIRST END GIGABYTES

prints a line of JSON for each file: its number, its kind, seconds, and what came of it.
"""

import json
import math
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vbert.errors import VideoError
from vbert.text.transcripts import Sentence, read_transcript

Kind = Callable[[random.Random], bytes]
WORDS = (
    "now",
    "cut",
    "the",
    "apple.",
    "&amp;",
    "<i>so</i>",
    "[Music]",
    ">>",
    "-",
    "naïve",
    "苹果",
    "<b",
    "{\\an8}",
)
HUGE_BYTES = 100 << 20
LARGE_BYTES = 3 << 20


def main() -> None:
    first, end, gigabytes = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30),) * 2)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, end):
            kind, content = hostile_transcript(number)
            path = Path(folder, "transcript")
            path.write_bytes(content)
            start_seconds = time.process_time()
            outcome = outcome_of(path)
            seconds = time.process_time() - start_seconds
            print(json.dumps({"number": number, "kind": kind, "seconds": seconds, "outcome": outcome}))


def outcome_of(path: Path) -> str:
    """ "sentences", "video error", or what must not be."""
    try:
        sentences = read_transcript(str(path))
    except VideoError as error:
        return "video error" if error.stage == "transcript" and error.reason else f"empty {error!r}"
    except Exception as error:  # noqa: BLE001 (that is what is looked for)
        return f"escaped: {type(error).__name__}: {error}"[:200]
    return "sentences" if all(map(is_sound, sentences)) and is_sorted(sentences) else "unsound sentences"


def is_sound(sentence: Sentence) -> bool:
    return 0 <= sentence.start_seconds <= sentence.end_seconds < math.inf and bool(sentence.text.strip())


def is_sorted(sentences: list[Sentence]) -> bool:
    starts = [sentence.start_seconds for sentence in sentences]
    return starts == sorted(starts)


def hostile_transcript(number: int) -> tuple[str, bytes]:
    """Its kind and content. One in fifty is large, and three in two thousand huge."""
    rng = random.Random(number)
    if number % 2000 == 1999:
        return "huge", b"WEBVTT\n\n00:00.000 --> 00:10.000\n" + b"a " * (HUGE_BYTES // 2)
    if number % 2000 in {1997, 1998}:
        return "almost huge", large(rng, num_bytes=60 << 20)
    kind = [large] if number % 50 == 49 else KINDS
    make = rng.choice(kind)
    content = make(rng)
    return make.__name__, damaged(content, rng) if rng.random() < 0.4 else content


def clock(rng: random.Random) -> str:
    """A time, mostly as WebVTT has it."""
    odd = (
        "-00:00:01.000",
        "99:99:99.999",
        "NaN",
        "1e309",
        "9999:59:59,999",
        "00:00:00.0000000",
        "",
        "\u0663:\u0660\u0661:\u0660\u0661.\u0660\u0661",
    )
    if rng.random() < 0.1:
        return rng.choice(odd)
    return f"{rng.choice(('', '00:'))}{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}"


def text_of(rng: random.Random, num_words: int) -> str:
    return " ".join(rng.choices(WORDS, k=num_words))


def cues(rng: random.Random) -> bytes:
    """In no order, overlapping, ending before they begin."""
    lines = [rng.choice(("WEBVTT", "1", "", "WEBVTT - " + "x" * 1000)), ""]
    for _ in range(rng.randrange(40)):
        lines += [f"{clock(rng)}{rng.choice((' --> ', '-->', ' --&gt; '))}{clock(rng)}"]
        lines += [text_of(rng, rng.randrange(12)) for _ in range(rng.randrange(4))]
        lines += [""] * rng.randrange(3)
    return "\n".join(lines).encode(rng.choice(("utf-8", "utf-16", "utf-32", "utf-8-sig", "utf-16-be")))


def rolling(rng: random.Random) -> bytes:
    """Inline times that run backwards, and lines that repeat."""
    lines = ["WEBVTT", ""]
    for second in range(rng.randrange(60)):
        lines += [f"00:{second:02}.000 --> 00:{second + rng.randrange(5):02}.000", text_of(rng, 3)]
        lines += ["".join(f"<{clock(rng)}><c> {rng.choice(WORDS)}</c>" for _ in range(rng.randrange(9))), ""]
    return "\n".join(lines).encode()


def json3(rng: random.Random) -> bytes:
    numbers = (
        "NaN",
        "-Infinity",
        "1e999",
        "-5",
        "0",
        "12",
        str(10**400),
        "true",
        "null",
        '"7"',
        "[]",
        "1e300",
    )
    events = [
        f'{{"tStartMs": {rng.choice(numbers)}, "dDurationMs": {rng.choice(numbers)}, "segs": '
        f'[{{"utf8": {json.dumps(text_of(rng, 4))}, "tOffsetMs": {rng.choice(numbers)}}}]}}'
        if rng.random() < 0.5
        else f'{{"tStartMs": {rng.randrange(90000)}, "segs": [{{"utf8": {json.dumps(text_of(rng, 3))}}}]}}'
        for _ in range(rng.choice((0, 1, 1, 2, 30)))
    ]
    return f'{{"events": [{", ".join(events)}]}}'.encode()


def wrong_json(rng: random.Random) -> bytes:
    """Of other shapes, and nested deeper than any stack."""
    depth = rng.choice((10, 1000, 100_000))
    nested = "[" * depth + "]" * depth, '{"events":' * depth + "1" + "}" * depth
    shapes = (
        '{"events": {}}',
        '{"events": [1]}',
        '{"events": [{"segs": 3, "tStartMs": 1}]}',
        "{}",
        "{",
        "[]",
    )
    surrogate = '{"events": [{"tStartMs": 1, "segs": [{"utf8": "\\ud800"}]}]}'
    return rng.choice((*nested, '{"events":' + nested[0] + "}", *shapes, surrogate)).encode()


def noise(rng: random.Random) -> bytes:
    return rng.choice((b"WEBVTT\n\n", b"", b"\xff\xfe", b"\xfe\xff", b"{")) + rng.randbytes(
        rng.randrange(5000)
    )


def large(rng: random.Random, num_bytes: int = LARGE_BYTES) -> bytes:
    """Some MB: a cue of one word or of many, a cue a line, brackets that never close."""
    timing = b"WEBVTT\n\n00:00.000 --> 00:10.000\n"
    pieces = (
        b"a ",
        b"a",
        b"\n.",
        b"<",
        b"[",
        b"(",
        b"&amp;",
        b"<00:01.000>",
        b"<c>",
        b"{\\",
        b" -->",
        b"- ",
        b"\t",
    )
    piece = rng.choice(
        (*pieces, timing[8:] + b"so.\n\n", b"00:01.000 --> 00:02.000\n", text_of(rng, 9).encode())
    )
    return timing + piece * (num_bytes // len(piece))


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut off, or with some bytes changed."""
    changed = bytearray(content[: rng.randrange(len(content) + 1)] if rng.random() < 0.3 else content)
    for _ in range(rng.randrange(30) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


KINDS: tuple[Kind, ...] = (cues, cues, rolling, json3, json3, wrong_json, noise)

if __name__ == "__main__":
    main()
