"""The sound of a video: mono, 16 kHz, streamed in windows that end where it is quiet."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from av import AudioFrame, AudioResampler, FFmpegError
from av.stream import Discard

from vbert.errors import VideoError
from vbert.video.media import MAX_HOURS
from vbert.video.opening import open_video, presentation_start, read_packets, reason_of, time_base
from vbert.video.timeline import Clock, Stamped

RATE = 16_000  # what speech recognisers are trained on
WINDOW_SECONDS = 28.0  # Whisper hears 30 s
QUIET_SECONDS = 8.0  # the last so many of a window are searched for where to cut
PAUSE_SECONDS = 0.2
FRAME_SECONDS = Fraction(1, 50)  # as most codecs have it
GAP_SECONDS = 0.05  # a timestamp further than this from where the samples are is a gap, and not rounding


class Window(NamedTuple):
    """Float32 [num_samples] at RATE, from -1 to 1, and when it begins in seconds of the presentation."""

    start_seconds: float
    samples: np.ndarray


def sound_windows(uri: str) -> Iterator[Window]:
    """All of the first audio stream, without overlap; a window is cut where it is quietest near its end.

    Packets that do not decode leave silence, as gaps between timestamps do; a gap longer than a window is
    left out. Memory is a window's, however long the video. Raises VideoError("audio", reason) for a file that
    cannot be opened, has no sound, or more than MAX_HOURS of it.
    """
    held: list[np.ndarray] = []  # what lies between start and end, in pieces of some 20 ms
    start = end = 0
    longest = round(WINDOW_SECONDS * RATE)
    for at, samples in _pieces(uri):
        if at > MAX_HOURS * 3600 * RATE:
            raise VideoError("audio", f"lasts more than {MAX_HOURS} hours by its timestamps")
        if at - end > longest:  # nobody speaks there, and a timestamp may lie
            if held:
                yield Window(start / RATE, np.concatenate(held))
            start, end, held = at, at, []
        elif at - end > GAP_SECONDS * RATE:
            held.append(np.zeros(at - end, np.float32))
            end = at
        held.append(samples)
        end += len(samples)
        while end - start >= longest:
            whole = np.concatenate(held)
            cut = _quietest(whole[:longest])
            yield Window(start / RATE, whole[:cut])
            start, held = start + cut, [whole[cut:]]
    if end > start:
        yield Window(start / RATE, np.concatenate(held))


def _quietest(samples: np.ndarray) -> int:
    """Where to cut: the middle of the quietest PAUSE_SECONDS in the last QUIET_SECONDS."""
    size = round(PAUSE_SECONDS * RATE)
    tail = samples[-round(QUIET_SECONDS * RATE) :].astype(np.float64)
    energy = np.convolve(tail**2, np.ones(size), mode="valid")[:: size // 4]
    return int(len(samples) - len(tail) + energy.argmin() * (size // 4) + size // 2)


def _pieces(uri: str) -> Iterator[tuple[int, np.ndarray]]:
    """Decoded samples, and the place of the first, in samples from the start of the presentation.

    A clock that starts again goes on where it was, as that of the pictures does.
    """
    try:
        with open_video(uri) as container:
            stream = _select_audio(container)
            begin, tick = presentation_start(container), time_base(stream)
            clock = Clock(container, stream, frame_ticks=max(1, round(FRAME_SECONDS / tick)))
            stamped = (
                Stamped(frame.pts, round(Fraction(frame.samples, frame.sample_rate or RATE) / tick), frame)
                for frame in _frames(container, stream)
            )
            mono = _Mono()
            for placed in clock.place(stamped, first_ticks=stream.start_time or 0):
                at = max(0, round((placed.ticks * tick - begin) * RATE))
                for samples in mono.of(placed.item):
                    yield at, samples
                    at += len(samples)
    except (FFmpegError, OSError) as error:
        raise VideoError("audio", reason_of(error)) from error


class _Mono:
    """Frames of sound as mono at RATE. In recordings of broadcasts, and joined ones, their kind changes."""

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._resampler: AudioResampler

    def of(self, frame: AudioFrame) -> Iterator[np.ndarray]:
        """Some samples, from -1 to 1."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._kind, self._resampler = kind, AudioResampler(format="flt", layout="mono", rate=RATE)
        frame.pts = None
        for resampled in self._resampler.resample(frame):
            yield resampled.to_ndarray()[0]


def _select_audio(container: Any) -> Any:
    streams = list(container.streams.audio)
    if not streams:
        raise VideoError("audio", "no audio stream")
    if streams[0].codec_context is None:
        raise VideoError("audio", "no decoder for the audio stream")
    for other in container.streams:
        if other.index != streams[0].index:
            other.discard = Discard.all
    return streams[0]


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    for packet in read_packets(container, stream):
        try:
            yield from packet.decode()
        except FFmpegError:
            continue  # silence stands for it
