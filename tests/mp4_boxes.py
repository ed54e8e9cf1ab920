"""Boxes of an mp4 file (ISO/IEC 14496-12), changed by hand: what no muxer here writes."""

import struct
from collections.abc import Callable
from pathlib import Path

SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
STSD_HEADER = 8  # version and flags, and how many entries
Change = Callable[[bytes, bytes], tuple[bytes, bytes]]  # (name, body) -> the same of the box instead


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def change_box(path: Path, place: tuple[bytes, ...], change: Change) -> None:
    """Change the first box at a place in the tree, and the sizes of those around it. The index is behind what
    it is of, so no offset changes."""
    data = path.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    path.write_bytes(_changed(data, place, change))


def _changed(data: bytes, place: tuple[bytes, ...], change: Change) -> bytes:
    parts, at, is_done = [], 0, False
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + size]
        at += size
        if name == place[0] and not is_done:
            is_done = True
            if len(place) == 1:
                name, body = change(name, body)
            else:
                skip = STSD_HEADER if name == b"stsd" else 0
                body = body[:skip] + _changed(body[skip:], place[1:], change)
        parts.append(box(name, body))
    assert is_done, f"no box {place[0]!r}"
    return b"".join(parts)
