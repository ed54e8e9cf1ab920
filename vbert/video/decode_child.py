"""The child of `isolation`: decodes and probes what it is asked to, within limits, until its parent is gone.

It imports av and numpy, neither torch nor Ray.
"""

import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vbert.errors import UserError, VideoError
from vbert.video.child_process import receive, send, to_parent
from vbert.video.decode import decode_clips
from vbert.video.media import probe_video

# Opening a file in a bucket is waiting: 16 headers at a time keep one core busy at 50 ms a round trip.
PROBES_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """What one file may cost the process that decodes it."""

    max_decode_seconds: float = 600.0
    """Seconds after which a segment, or the header of a video, is given up, in case its decoder hangs."""
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


def serve() -> None:
    """Answer requests until there are no more. The process's arguments: a socket's descriptor, the limits."""
    seconds, gigabytes = map(float, sys.argv[2:])
    limits = DecodeLimits(max_decode_seconds=seconds, max_decode_gigabytes=gigabytes)
    with to_parent() as connection, suppress(EOFError, ConnectionError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limits.max_bytes, hard))
        while True:
            name, request = receive(connection)
            (_decode if name == "decode" else _probe)(connection, request, limits)


def _decode(connection: socket.socket, request: tuple[Any, ...], limits: DecodeLimits) -> None:
    """Send the clips of a segment, then the CPU seconds that they took, or what went wrong."""
    start_seconds = time.process_time()
    uri, segment, spec, decoder, skip_loop_filter = request
    try:
        for clip in decode_clips(uri, segment, spec, decoder=decoder, skip_loop_filter=skip_loop_filter):
            send(connection, clip)
    except Exception as error:  # noqa: BLE001 (see _failure)
        send(connection, _failure(error, "decode", limits))
    else:
        send(connection, time.process_time() - start_seconds)


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
