"""Video files that are out to do harm: real ones, damaged at random, and ones that are made to measure.

All is drawn from a seed: the same number is the same file, wherever the base files are the same.
"""

import math
import random
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

from tests.videos import Video, ffmpeg, write_video

LARGEST_BASE = 64 << 10  # bytes; a mutant is as large, and is decoded in milliseconds

CONTAINERS = {
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"edts",
    b"udta",
    b"dinf",
    b"mvex",
    b"moof",
    b"traf",
}
# Where an mp4's header says how large, how long and how many.
TELLING = (b"mvhd", b"tkhd", b"mdhd", b"stsd", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"stss", b"elst")
EXTREMES = (0, 1, 2, 0x7F, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# Of Matroska: Duration, PixelWidth, PixelHeight, DisplayWidth, TimestampScale, DefaultDuration, TrackNumber.
EBML_IDS = (b"\x44\x89", b"\xb0", b"\xba", b"\x54\xb0", b"\x2a\xd7\xb1", b"\x23\xe3\x83", b"\xd7")

Mutation = Callable[[bytes, random.Random], bytes]


def base_videos(folder: Path, real_videos: Path) -> list[Path]:
    """Small sound files: rendered ones, and the real ones of a folder, if there is one."""
    small = Video(num_frames=30, fps=Fraction(15), gop=8)
    vp9 = Video(num_frames=20, fps=Fraction(10), codec="libvpx-vp9", options={"deadline": "realtime"})
    made = {
        "plain.mp4": small,
        "front.mp4": Video(num_frames=30, container_options={"movflags": "faststart"}, b_frames=2),
        "pieces.mp4": Video(num_frames=30, container_options={"movflags": "frag_keyframe+empty_moov"}),
        "turned.mov": Video(num_frames=20, rotation=90, audio_seconds=Fraction(1)),
        "plain.mkv": small,
        "plain.avi": Video(num_frames=20, codec="mpeg4"),
        "plain.ts": small,
        "plain.webm": vp9,
        "wide.mp4": Video(num_frames=20, pixel_aspect=Fraction(4, 3), pix_fmt="yuv420p10le"),
    }
    paths = [write_video(folder / name, video) for name, video in made.items()]
    # The suffix is one that a corpus takes; FFmpeg goes by the content.
    paths.append(write_video(folder / "bare.h264", small).rename(folder / "bare.mpg"))
    real = [path for path in sorted(real_videos.rglob("*.*")) if path.suffix in {".mp4", ".mkv", ".mov"}]
    return paths + [path for path in real if path.stat().st_size <= LARGEST_BASE]


def write_mutant(folder: Path, number: int, bases: Sequence[Path]) -> Path:
    """The file of that number: a base file with one to three mutations."""
    rng = random.Random(number)
    base = bases[number % len(bases)]
    data = base.read_bytes()
    names = []
    for mutate in rng.choices(MUTATIONS, k=rng.choice((1, 1, 2, 3))):
        data = mutate(data, rng)
        names.append(mutate.__name__)
    suffix = base.suffix if rng.random() < 0.9 else rng.choice((".mp4", ".mkv", ".avi", ".webm"))
    path = folder / f"{number:05}-{base.stem}-{'-'.join(names)}{suffix}"
    path.write_bytes(data)
    return path


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """One to a thousand, anywhere."""
    return _flipped(data, rng, range(len(data)), num_bits=_log_uniform(rng, 1, 1000))


def flip_header_bits(data: bytes, rng: random.Random) -> bytes:
    """A few in the first or last 2 KB, where headers are."""
    part = range(min(2048, len(data))) if rng.random() < 0.5 else range(max(0, len(data) - 2048), len(data))
    return _flipped(data, rng, part, num_bits=_log_uniform(rng, 1, 20))


def cut_off(data: bytes, rng: random.Random) -> bytes:
    return data[: _log_uniform(rng, 1, len(data) + 1)]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + _log_uniform(rng, 1, len(data) + 1) :]


def insert_noise(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(_log_uniform(rng, 1, 5000)) + data[at:]


def blank(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data) + 1), _log_uniform(rng, 1, 5000)
    return data[:at] + rng.choice((b"\0", b"\xff")) * len(data[at : at + size]) + data[at + size :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """An interval of it many times: packets twice, boxes twice, endless lists."""
    at = rng.randrange(len(data) + 1)
    end = at + _log_uniform(rng, 1, 4000)
    return data[:end] + data[at:end] * _log_uniform(rng, 1, 50) + data[end:]


def change_boxes(data: bytes, rng: random.Random) -> bytes:
    """Swap, rename, double, drop or nest an mp4's boxes, or lie about their sizes."""
    boxes = _boxes(data)
    if len(boxes) < 2:
        return insert_noise(data, rng)
    (start, end, _), (start2, end2, name2) = sorted(rng.sample(boxes, 2))
    box = data[start:end]
    size = struct.pack(">I", rng.choice((*EXTREMES, len(box) - 1, len(box) + 1)))
    changed = {
        "swap": lambda: data[:start] + data[start2:end2] + data[end:start2] + box + data[end2:],
        "rename": lambda: data[: start + 4] + name2 + data[start + 8 :],
        "double": lambda: data[:end] + box + data[end:],
        "drop": lambda: data[:start] + data[end:],
        "nest": lambda: data[: start + 8] + box + data[start + 8 :],
        "size": lambda: data[:start] + size + data[start + 4 :],
    }
    return changed[rng.choice(list(changed))]()


def change_numbers(data: bytes, rng: random.Random) -> bytes:
    """Extreme sizes, durations, counts and offsets in an mp4's header, or in Matroska's."""
    told = [(start, end) for start, end, name in _boxes(data) if name in TELLING]
    if not told:
        return _change_ebml(data, rng)
    changed = bytearray(data)
    for start, end in rng.choices(told, k=rng.choice((1, 1, 2))):
        if end - start >= 16:
            at = start + 8 + 4 * rng.randrange((end - start - 8) // 4)
            changed[at : at + 4] = struct.pack(">I", rng.choice(EXTREMES))
    return bytes(changed)


def _change_ebml(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for name in rng.sample(EBML_IDS, 2):
        at = data.find(name, 0, 4096)
        if at < 0 or at + len(name) >= len(data):
            continue
        at += len(name)
        size = data[at] & 0x0F  # one byte of length, as all of these have
        number = struct.pack(">d", rng.choice((math.nan, math.inf, -1e300, 1e18, 1e300, 0.0)))
        value = number if size == 8 else rng.choice(EXTREMES).to_bytes(8, "big")
        changed[at + 1 : at + 1 + size] = value[-size:] if size <= 8 else value
    return bytes(changed)


def splice(data: bytes, rng: random.Random) -> bytes:
    """Its parts in another order."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    parts = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    rng.shuffle(parts)
    return b"".join(parts)


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bits, flip_header_bits, cut_off, cut_out, insert_noise, blank, repeat, splice),
    *[change_boxes] * 3,
    *[change_numbers] * 4,
)


def _flipped(data: bytes, rng: random.Random, part: range, *, num_bits: int) -> bytes:
    changed = bytearray(data)
    for at in rng.choices(part, k=num_bits) if part else ():
        changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _log_uniform(rng: random.Random, least: int, most: int) -> int:
    return int(math.exp(rng.uniform(math.log(least), math.log(max(most, least + 1)))))


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[int, int, bytes]]:
    """Start, end and name of an mp4's boxes, those within others included; [] for what is none."""
    end = len(data) if end is None else end
    found = []
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end or not name.isalnum():
            break
        found.append((start, start + size, name))
        if name in CONTAINERS:
            found += _boxes(data, start + 8, start + size)
        start += size
    return found


def write_specials(folder: Path) -> dict[str, Path]:
    """Files that are no video, or a trap, by what is wrong with them."""
    sound = write_video(folder / "sound.mp4", Video(num_frames=20, audio_seconds=Fraction(2)))
    (folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    ffmpeg("-i", sound, "-vn", "-c", "copy", folder / "audio only.mp4")
    ffmpeg("-i", folder / "words.srt", folder / "subtitles only.mkv")
    ffmpeg("-f", "lavfi", "-i", "color=size=64x64:duration=0", folder / "no frames.mp4")
    (folder / "matroska.mp4").write_bytes(write_video(folder / "real.mkv", Video(num_frames=20)).read_bytes())
    texts = {
        "text.mp4": "not a video\n",
        "empty.mp4": "",
        "passwd.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        "url.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "neighbour.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsound.mp4\n#EXT-X-ENDLIST\n",
        "concat.mp4": "ffconcat version 1.0\nfile sound.mp4\n",
        "concat passwd.mp4": "ffconcat version 1.0\nfile /etc/passwd\n",
        "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    write_bombs(folder)
    (folder / "words.srt").unlink()
    return {path.name: path for path in sorted(folder.iterdir())}


def write_bombs(folder: Path) -> None:
    """Small files of large pictures, or of many hours."""
    fast = {"preset": "ultrafast", "crf": "40"}
    huge = Video(num_frames=3, fps=Fraction(1), width=8192, height=8192, options=fast)
    write_video(folder / "huge pictures.mp4", huge)
    times = [60 * number for number in range(1500)]
    still = Video(num_frames=1500, pts=times, fps=Fraction(1), width=16, height=16, gop=1500, options=fast)
    write_video(folder / "a day of nothing.mkv", still)
    jump = [*range(10), 2**31]  # 2,266 years of 1/30 s
    write_video(
        folder / "a jump in time.mkv",
        Video(num_frames=11, pts=jump, time_base=Fraction(1, 30), fps=Fraction(30), options=fast),
    )
    _write_many_years(folder)


def _write_many_years(folder: Path) -> None:
    """Headers that promise as long as they can, of a video of 1.5 s."""
    patched = bytearray(write_video(folder / "many years.mp4", Video(num_frames=38)).read_bytes())
    for start, _, name in _boxes(bytes(patched)):
        if name in {b"mvhd", b"mdhd", b"tkhd"}:
            at = start + (28 if name == b"tkhd" else 24)
            patched[at : at + 4] = struct.pack(">I", 0x7FFFFFFF)
    (folder / "many years.mp4").write_bytes(bytes(patched))
    data = write_video(folder / "many years.mkv", Video(num_frames=38)).read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    data = data[:at] + struct.pack(">d", 1e15) + data[at + 8 :]
    (folder / "many years.mkv").write_bytes(data.replace(b"00:00:01.520000000", b"9999999:00:01.5200"))
