"""The child of `isolation`: opens the files that it is asked about, within limits, until its parent is gone.

It imports av and numpy, neither torch nor Ray.
"""

import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from vbert.errors import UserError, VideoError
from vbert.video.audio import sound_windows
from vbert.video.child_process import receive, send
from vbert.video.confinement import confine, renounce_privileges
from vbert.video.decode import Decoder, decode_clips
from vbert.video.frame_grid import Clip, ClipSpec
from vbert.video.media import Segment, probe_video

# Opening a file in a bucket is waiting: 16 headers at a time keep one core busy at 50 ms a round trip.
PROBES_AT_ONCE = 16
LOCAL = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """What one file may cost the process that decodes it."""

    max_decode_seconds: float = 600.0
    """Seconds after which a segment, the header of a video, half a minute of its sound or its pictures for a
    report are given up, in case the decoder hangs."""
    max_decode_gigabytes: float = 4.0
    """Memory of a decoder. A picture of 8K (7680 x 4320) with 10 bits a sample takes 100 MB; a codec holds
    16 of them at most, and a few are on their way: 2 GB."""

    def __post_init__(self) -> None:
        for name in ("max_decode_seconds", "max_decode_gigabytes"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def max_bytes(self) -> int:
        """The memory, in bytes."""
        return int(self.max_decode_gigabytes * 2**30)

    @property
    def too_long(self) -> str:
        """The reason of what took too long."""
        return f"took longer than {self.max_decode_seconds:g} s"

    @property
    def too_large(self) -> str:
        """The reason of what wanted too much memory."""
        return f"needs more than {self.max_decode_gigabytes:g} GB of memory"


def serve(connection: socket.socket) -> None:
    """Answer requests until there are no more. The process's arguments: a socket's descriptor, the limits,
    and LOCAL if all files will be local."""
    seconds, gigabytes = map(float, sys.argv[2:4])
    limits = DecodeLimits(max_decode_seconds=seconds, max_decode_gigabytes=gigabytes)
    with suppress(EOFError, ConnectionError):
        if LOCAL in sys.argv[4:]:
            confine()
        else:
            renounce_privileges()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limits.max_bytes, hard))
        while True:
            name, request = receive(connection)
            if name == "probe":
                _probe(connection, request, limits)
            else:
                _stream(connection, PIECES[name], request, limits)


class Done(NamedTuple):
    """The end of an answer of several pieces."""

    cpu_seconds: float


class Pieces(NamedTuple):
    """What makes the pieces of an answer, and the stage of what goes wrong."""

    stage: str
    make: Callable[..., Iterator[Any]]


def _clips(
    uri: str,
    segment: Segment,
    spec: ClipSpec,
    decoder: Decoder,
    skip_loop_filter: bool,  # noqa: FBT001 (as it comes in a message)
) -> Iterator[Clip]:
    return decode_clips(uri, segment, spec, decoder=decoder, skip_loop_filter=skip_loop_filter)


def _thumbnails(uri: str, times: Sequence[float], width: int) -> Iterator[list[bytes | None]]:
    from vbert.video.thumbnails import thumbnails  # Pillow with it, which few children want

    yield thumbnails(uri, times, width=width)


PIECES = {
    "clips": Pieces("decode", _clips),
    "sound": Pieces("audio", sound_windows),
    "thumbnails": Pieces("decode", _thumbnails),
}


def _stream(
    connection: socket.socket, pieces: Pieces, request: tuple[Any, ...], limits: DecodeLimits
) -> None:
    """Send the pieces of an answer, then that it is done, or what went wrong."""
    start_seconds = time.process_time()
    try:
        for piece in pieces.make(*request):
            send(connection, piece)
    except Exception as error:  # noqa: BLE001 (see _failure)
        send(connection, _failure(error, pieces.stage, limits))
    else:
        send(connection, Done(time.process_time() - start_seconds))


def _probe(connection: socket.socket, uris: Mapping[int, str], limits: DecodeLimits) -> None:
    """Send (place, None) when a video is begun, and (place, what came of it) when it is done."""
    lock = threading.Lock()

    def tell(at: int, answer: object) -> None:
        with lock:
            send(connection, (at, answer))

    def probe(at: int, uri: str) -> None:
        tell(at, None)
        try:
            answer: object = probe_video(uri)
        except Exception as error:  # noqa: BLE001 (see _failure)
            answer = _failure(error, "probe", limits)
        tell(at, answer)

    with ThreadPoolExecutor(PROBES_AT_ONCE) as threads:
        for _ in threads.map(probe, uris.keys(), uris.values()):
            pass


def _failure(error: Exception, stage: str, limits: DecodeLimits) -> VideoError | UserError:
    """What to tell of an error. One that nobody foresaw is a row, too, and its traceback is in the log."""
    if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
        return VideoError(stage, limits.too_large)
    if isinstance(error, VideoError | UserError):
        return error
    traceback.print_exception(error)
    return VideoError(stage, f"unforeseen {type(error).__name__}: {error}")
