"""Bytes of text files in whatever encoding -> text, and what there is to say about it."""

import codecs
import re

import chardet

# What a reader does not see: marks of direction, spaces of no width, soft hyphens. (Joiners, U+200C and
# U+200D, belong to words in Persian and in Indian scripts.)
INVISIBLE = dict.fromkeys(
    [0xAD, 0x200B, 0x200E, 0x200F, 0xFEFF, *range(0x202A, 0x202F), *range(0x2060, 0x206A)]
)
LINE_END = re.compile(r"\r*\n|\r+")  # also of files that were converted twice: \r\r\n
LOOKED_AT = 1 << 18  # bytes of a text that is to be guessed: 0.05 s
# Where so many letters are ASCII for each byte that is not, the others are Latin, too: no caf\xe9 is Greek.
LATIN, LATIN_RATIO = ("cp1250", "cp1252", "cp1254", "cp1257", "cp1258"), 3
LETTERS, HIGH = re.compile(rb"[A-Za-z]"), re.compile(rb"[\x80-\xff]")
WESTERN = "cp1252"  # the commonest: a single such byte may be of any
MIN_ZEROS = 0.05  # of all bytes; of a cue's times half are
# A byte that is wrong, in a text that else is UTF-8, costs a letter, and no letter of the others.
MAX_BAD_SHARE = 0.1


def decode_text(content: bytes) -> str:
    """As text with line ends of one kind, without what no reader sees."""
    return decode_and_say(content)[0]


def decode_and_say(content: bytes) -> tuple[str, list[str]]:
    """The text, and a line for what was guessed or lost: UTF-8; UTF-16; else what chardet takes it for.

    Of three cues in 34 languages (from the translations of GLib and GTK, in the encoding of their Windows)
    chardet knows 98 %, where charset-normalizer knows 74 %: it takes Spanish for Central European.
    """
    text, said = _decode(content)
    return LINE_END.sub("\n", text).replace("\0", "").translate(INVISIBLE), said


def _decode(content: bytes) -> tuple[str, list[str]]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace"), []
    if encoding := _utf16_by_its_zeros(content):
        return content.decode(encoding, errors="replace"), [f"read as {encoding}"]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        pass
    text = content.decode("utf-8-sig", errors="replace")
    num_bad = text.count("\ufffd") - content.count("\ufffd".encode())
    num_others = sum(letter > "\x7f" for letter in text) - num_bad
    if num_bad <= MAX_BAD_SHARE * num_others or (num_bad == 1 and num_others):
        return text, [f"letters lost, whose bytes are no UTF-8: {num_bad}"]
    encoding = _guess(content[:LOOKED_AT])
    return content.decode(encoding, errors="replace"), [f"read as {encoding}"]


def _utf16_by_its_zeros(content: bytes) -> str | None:
    """UTF-16 without a mark: digits have a zero, always as the first byte, or always as the second."""
    first, second = content[::2].count(0), content[1::2].count(0)
    if max(first, second) < MIN_ZEROS * len(content) or min(first, second) > max(first, second) / 10:
        return None
    return "utf-16-be" if first > second else "utf-16-le"


def _guess(content: bytes) -> str:
    """An encoding, by Python's name."""
    num_high = len(HIGH.findall(content))
    is_latin = len(LETTERS.findall(content)) >= LATIN_RATIO * num_high
    if is_latin and num_high == 1:
        return WESTERN
    found = chardet.detect(
        content,
        max_bytes=LOOKED_AT,
        encoding_era=chardet.EncodingEra.MODERN_WEB,  # no code pages of DOS, which fit any bytes
        include_encodings=LATIN if is_latin else None,
        prefer_superset=True,  # Windows-1252 for ISO-8859-1: the rest of the file may hold its quotes
    )
    return codecs.lookup(found["encoding"] or WESTERN).name
