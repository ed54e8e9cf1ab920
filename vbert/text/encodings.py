"""Bytes of text files in whatever encoding -> text, and what there is to say about it."""

import re

from charset_normalizer import from_bytes

# What a reader does not see: marks of direction, spaces of no width, soft hyphens. (Joiners, U+200C and
# U+200D, belong to words in Persian and in Indian scripts.)
INVISIBLE = dict.fromkeys(
    [0xAD, 0x200B, 0x200E, 0x200F, 0xFEFF, *range(0x202A, 0x202F), *range(0x2060, 0x206A)]
)
LINE_END = re.compile(r"\r*\n|\r+")  # also of files that were converted twice: \r\r\n
LOOKED_AT = 1 << 18  # bytes: the guess takes seconds a megabyte
# A byte that is wrong, in a text that else is UTF-8, costs a letter, and no letter of the others.
MAX_BAD_SHARE = 0.1


def decode_text(content: bytes) -> str:
    """As text with line ends of one kind, without what no reader sees."""
    return decode_and_say(content)[0]


def decode_and_say(content: bytes) -> tuple[str, list[str]]:
    """The text, and a line for what was guessed or lost: UTF-8; UTF-16 with a byte order mark; else what
    charset-normalizer takes it for, or Windows-1252."""
    text, said = _decode(content)
    return LINE_END.sub("\n", text).replace("\0", "").translate(INVISIBLE), said


def _decode(content: bytes) -> tuple[str, list[str]]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace"), []
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        pass
    text = content.decode("utf-8-sig", errors="replace")
    num_bad = text.count("\ufffd") - content.count("\ufffd".encode())
    num_others = sum(letter > "\x7f" for letter in text) - num_bad
    if num_bad <= MAX_BAD_SHARE * num_others or (num_bad == 1 and num_others):
        return text, [f"letters lost, whose bytes are no UTF-8: {num_bad}"]
    best = from_bytes(content[:LOOKED_AT]).best()
    encoding = best.encoding if best is not None else "cp1252"
    return content.decode(encoding, errors="replace"), [f"read as {encoding}"]
