"""Real videos, made to measure: each frame shows its own number, so that what was decoded can be read off."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vbert.video.frame_grid import Clip

BLOCKS = 4  # on a side of the centred square: 12 bits of the number, then 4 of a checksum
DARK, BRIGHT = 60, 190  # far apart, and legal luma in both ranges
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass(frozen=True, kw_only=True)
class Video:
    """How to write one."""

    num_frames: int = 50
    fps: Fraction = Fraction(25)
    pts: Sequence[int] | None = None
    """Of each frame, in `time_base`; by default one tick of 1/fps a frame."""
    time_base: Fraction | None = None
    start_seconds: Fraction = Fraction(0)
    """Of the video stream."""
    width: int = 96
    height: int = 64
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    gop: int = 12
    b_frames: int = 0
    rotation: int = 0
    """Degrees counter-clockwise that a player turns the picture by."""
    flip: str = ""
    """"hflip" or "vflip": how a player mirrors it."""
    color_range: int = 0
    colorspace: int = 2
    chroma: tuple[int, int] = (128, 128)
    pixel_aspect: Fraction | None = None
    audio_seconds: Fraction | None = None
    """Length of a silent audio stream that starts at 0."""
    options: dict[str, str] = field(default_factory=dict)
    """Of the encoder."""
    container_options: dict[str, str] = field(default_factory=dict)


def write_video(path: Path, video: Video) -> Path:
    with av.open(str(path), "w", container_options=video.container_options) as container:
        stream = _add_stream(container, video)
        if video.audio_seconds:
            audio = container.add_stream("aac", rate=8000, layout="mono")
            _write_silence(container, audio, num_samples=int(video.audio_seconds * 8000))
        write_frames(container, stream, video)
    return path


def _add_stream(container: OutputContainer, video: Video) -> VideoStream:
    stream = container.add_stream(video.codec, rate=video.fps)
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, video.pix_fmt
    context = stream.codec_context
    context.time_base = video.time_base or 1 / video.fps
    context.gop_size, context.max_b_frames = video.gop, video.b_frames
    context.color_range, context.colorspace = video.color_range, video.colorspace
    context.thread_count = 1
    if video.pixel_aspect:
        context.sample_aspect_ratio = video.pixel_aspect
    if video.codec == "libx264":
        # Keyframes where they are asked for, and nowhere else.
        stream.options = {"crf": "12", "sc_threshold": "0", "preset": "veryfast", **video.options}
    else:
        stream.options = video.options
    if video.rotation or video.flip:
        hflip, vflip = video.flip == "hflip", video.flip == "vflip"
        stream.set_display_rotation(video.rotation, hflip=hflip, vflip=vflip)
    return stream


def write_frames(container: OutputContainer, stream: VideoStream, video: Video) -> None:
    time_base = video.time_base or 1 / video.fps
    offset = int(video.start_seconds / time_base)
    for number in range(video.num_frames):
        frame = numbered_frame(number, video)
        frame.pts = offset + (number if video.pts is None else video.pts[number])
        frame.time_base = time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _write_silence(container: OutputContainer, stream: AudioStream, *, num_samples: int) -> None:
    for start in range(0, num_samples, 1000):
        frame = AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def numbered_frame(number: int, video: Video) -> VideoFrame:
    side = min(video.width, video.height) // BLOCKS * BLOCKS
    block = side // BLOCKS
    luma = np.full((video.height, video.width), DARK, np.uint8)
    top, left = (video.height - side) // 2, (video.width - side) // 2
    for index, bit in enumerate(_bits(number)):
        row, column = divmod(index, BLOCKS)
        y, x = top + row * block, left + column * block
        luma[y : y + block, x : x + block] = BRIGHT if bit else DARK
    planes = np.stack([luma, *(np.full_like(luma, value) for value in video.chroma)])
    frame = VideoFrame.from_ndarray(planes, format="yuv444p")
    color = {"src_color_range": 1, "dst_color_range": 1}
    if video.pix_fmt.startswith("yuvj") or video.color_range == 2:
        color = {"src_color_range": 2, "dst_color_range": 2}
    frame = frame.reformat(format=video.pix_fmt, **color) if video.pix_fmt != "yuv444p" else frame
    frame.color_range, frame.colorspace = video.color_range, video.colorspace
    return frame


def _bits(number: int) -> list[int]:
    assert 0 <= number < 4096, number
    return [number >> bit & 1 for bit in range(12)] + [number % 15 >> bit & 1 for bit in range(4)]


def read_number(picture: np.ndarray) -> int:
    """The number in a square picture, [size, size] luma or [size, size, 3] RGB; -1 if it cannot be read."""
    gray = picture if picture.ndim == 2 else picture.mean(2)
    size = len(gray)
    centres = [int((index + 0.5) * size / BLOCKS) for index in range(BLOCKS)]
    bits = [int(gray[y, x] > (DARK + BRIGHT) / 2) for y in centres for x in centres]
    number = sum(bit << place for place, bit in enumerate(bits[:12]))
    return number if _bits(number) == bits else -1


def read_numbers(clip: Clip, size: int) -> list[int]:
    """The number that each frame of the clip shows."""
    pictures = clip.frames
    if clip.color.matrix != "rgb":
        pictures = pictures[:, : size * size].reshape(-1, size, size)
    return [read_number(picture) for picture in pictures]


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run the ffmpeg binary, an FFmpeg that PyAV does not contain; return what it wrote to its output."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def break_packets(path: Path, numbers: Sequence[int], *, share: tuple[float, float] = (0.0, 1.0)) -> None:
    """Overwrite that part of the given packets of a file's video (in the order of the file) with 0xFF."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        position, size = places[number]
        begin, end = (position + int(size * part) for part in share)
        content[begin:end] = b"\xff" * (end - begin)
    path.write_bytes(content)
