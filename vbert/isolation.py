"""Decode and probe in a child process: what a hostile file does to a decoder, it does to the child alone.

The child starts with the first request, stays for the next ones, and is replaced when it dies.
"""

import functools
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from vbert.decode import Decoder
from vbert.decode_child import DecodeLimits, receive, send
from vbert.errors import UserError, VideoError
from vbert.frame_grid import Clip, ClipSpec
from vbert.media import Segment, VideoProbe

START_SECONDS = 300.0  # from a cold network disk; what takes longer will not start at all
EXIT_SECONDS = 10.0  # from the end of its messages to its own


class DecoderProcess:
    """A child process that decodes and probes, one request at a time. It ends with this object or process."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._child: _Child | None = None
        self._child_cpu_seconds = 0.0

    def cpu_seconds(self) -> float:
        """CPU time of this thread, and of the children for the segments that they have decoded."""
        return time.thread_time() + self._child_cpu_seconds

    def decode_clips(
        self,
        uri: str,
        segment: Segment,
        spec: ClipSpec,
        *,
        decoder: Decoder = "pyav",
        skip_loop_filter: bool = False,
    ) -> Iterator[Clip]:
        """What `decode.decode_clips` gives, with its errors, from the child.

        Raises VideoError("decode", reason), too, when the child dies or comes to its limits.
        """
        is_over = False
        try:
            self._ask("decode", (uri, segment, spec, decoder, skip_loop_filter))
            deadline = self._deadline(time.monotonic())
            while isinstance(answer := self._answer(deadline), Clip):
                yield answer
            is_over = True
        except _ChildLost as lost:
            raise VideoError("decode", str(lost)) from lost
        finally:
            if not is_over:  # or its next words would be taken for the next segment's
                self.close()
        if isinstance(answer, Exception):
            self._raise(answer)
        self._child_cpu_seconds += answer

    def probe(self, uris: Sequence[str]) -> list[VideoProbe | VideoError]:
        """`media.probe_video` of each, many at a time.

        When the child dies, those that it was reading are tried again one by one, to find whose fault it was.
        Raises UserError as `probe_video` does.
        """
        found: dict[int, VideoProbe | VideoError] = {}
        while len(found) < len(uris):
            missing = {at: uri for at, uri in enumerate(uris) if at not in found}
            answers, suspects = self._probe_together(missing)
            found |= answers
            for at in suspects:
                found[at] = self._probe_alone(uris[at])
        return [found[at] for at in range(len(uris))]

    def close(self) -> None:
        """End the child. The next request starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _probe_together(
        self, uris: Mapping[int, str]
    ) -> tuple[dict[int, VideoProbe | VideoError], Sequence[int]]:
        """What came back of `uris`, and whom to suspect of what did not."""
        found: dict[int, VideoProbe | VideoError] = {}
        begun: dict[int, float] = {}
        try:
            self._probe(uris, found, begun)
        except _ChildLost as lost:
            overdue = [at for at, since in begun.items() if self._deadline(since) <= time.monotonic()]
            if lost.is_late and overdue:
                return found | {at: VideoError("probe", str(lost)) for at in overdue}, []
            return found, list(begun) or list(uris)[:1]
        failed = {at: answer for at, answer in found.items() if isinstance(answer, VideoError)}
        if len(uris) == 1 or all(error.reason != self._limits.too_large for error in failed.values()):
            return found, []
        self.close()
        return {at: answer for at, answer in found.items() if at not in failed}, list(failed)

    def _probe_alone(self, uri: str) -> VideoProbe | VideoError:
        found: dict[int, VideoProbe | VideoError] = {}
        try:
            self._probe({0: uri}, found, {})
        except _ChildLost as lost:
            return VideoError("probe", str(lost))
        return found[0]

    def _probe(
        self, uris: Mapping[int, str], found: dict[int, VideoProbe | VideoError], begun: dict[int, float]
    ) -> None:
        """Put answers into `found` as they come, and into `begun` since when those without one are read."""
        is_over = False
        try:
            self._ask("probe", uris)
            while len(found) < len(uris):
                since = min(begun.values(), default=time.monotonic())
                at, answer = self._answer(self._deadline(since))
                if answer is None:
                    begun[at] = time.monotonic()
                    continue
                if isinstance(answer, UserError):
                    raise answer
                del begun[at]
                found[at] = answer
            is_over = True
        finally:
            if not is_over:
                self.close()

    def _deadline(self, since: float) -> float:
        return since + self._limits.max_decode_seconds

    def _raise(self, error: Exception) -> None:
        if isinstance(error, VideoError) and error.reason == self._limits.too_large:
            self.close()  # its memory is in pieces
        raise error

    def _ask(self, name: str, request: object) -> None:
        if self._child is None or not self._child.is_alive():
            self.close()
            self._child = _Child(self._limits)
        self._child.send((name, request))

    def _answer(self, deadline: float) -> Any:
        assert self._child is not None  # who was asked
        return self._child.receive(deadline, self._limits.too_long)


@functools.cache
def worker_process(limits: DecodeLimits) -> DecoderProcess:
    """The one of this process, for all the tasks that a worker does one after the other."""
    return DecoderProcess(limits)


class _ChildLost(Exception):
    """The child died, or was given up because it was late; the message says of what."""

    def __init__(self, reason: str, *, is_late: bool = False) -> None:
        super().__init__(reason)
        self.is_late = is_late


class _Child:
    """A running child, and our end of the socket."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", "from vbert.decode_child import serve; serve()"),
                    *(str(theirs.fileno()), str(limits.max_decode_seconds), str(limits.max_decode_gigabytes)),
                ],
                stdin=subprocess.PIPE,  # nothing is written: it is open as long as this process is
                pass_fds=[theirs.fileno()],
                # It finds what this process finds, and keeps to the one core that it has been given.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )
        self.end = weakref.finalize(self, _end, self._process, self._socket)
        try:
            self.receive(time.monotonic() + START_SECONDS, f"not ready after {START_SECONDS:g} s")
        except _ChildLost as lost:
            raise RuntimeError(f"the decoder's process does not start: {lost}") from lost

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: object) -> None:
        self._socket.settimeout(None)
        try:
            send(self._socket, message)
        except ConnectionError as error:
            raise self._lost() from error

    def receive(self, deadline: float, late: str) -> Any:
        """The next message. Raises _ChildLost; `late` is what it says after the deadline."""
        try:
            return receive(self._socket, deadline)
        except TimeoutError as error:
            raise _ChildLost(late, is_late=True) from error
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error

    def _lost(self) -> _ChildLost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        status = self._process.poll()
        if status is not None and status < 0:
            names = {known.value: known.name for known in signal.Signals}
            return _ChildLost(f"the decoder died of signal {-status} ({names.get(-status, 'unnamed')})")
        return _ChildLost(f"the decoder's process ended with exit status {status}")


def _end(process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
    connection.close()
    process.kill()
    with suppress(subprocess.TimeoutExpired):  # one that waits for a disk that is gone cannot even be killed
        process.wait(EXIT_SECONDS)
    assert process.stdin is not None  # it is a pipe
    process.stdin.close()
