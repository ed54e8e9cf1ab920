"""Open videos in a child process: what a hostile file does to a decoder, it does to the child alone.

The child starts with the first request, stays for the next ones, and is replaced when it dies. There are two
of them: one for local files, which has no credentials, no network and starts no program, and one for stores.
"""

import functools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from vbert.errors import UserError, VideoError
from vbert.storage.files import local_path
from vbert.video.audio import Window
from vbert.video.child_process import Child, ChildLost
from vbert.video.confinement import without_credentials
from vbert.video.decode import Decoder
from vbert.video.decode_child import LOCAL, PIECES, DecodeLimits, Done
from vbert.video.frame_grid import Clip, ClipSpec
from vbert.video.media import Segment, VideoProbe


class DecoderProcess:
    """Child processes that open videos, one request at a time. They end with this object or process.

    What is asked of them raises VideoError(stage, reason), too, when the child dies or comes to its limits.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        self._local = _Opener(limits, is_local=True)
        self._stores = _Opener(limits, is_local=False)

    def cpu_seconds(self) -> float:
        """CPU time of this thread, and of the children for the segments that they have decoded."""
        return time.thread_time() + self._local.child_cpu_seconds + self._stores.child_cpu_seconds

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

        The limit is for all of them; in a pass it is for each, and to the first as many limits as there are
        segments before it.
        """
        request = (uri, segment, spec, decoder, skip_loop_filter)
        if segment.is_pass:
            return self._opener(uri).stream("clips", *request, num_limits=segment.index + 1, renews=True)
        return self._opener(uri).stream("clips", *request)

    def sound_windows(self, uri: str) -> Iterator[Window]:
        """What `audio.sound_windows` gives, with its errors, from the child; the limit is for each."""
        return self._opener(uri).stream("sound", uri, renews=True)

    def thumbnails(self, uri: str, times: Sequence[float], *, width: int) -> list[bytes | None]:
        """What `thumbnails.thumbnails` gives, with its errors, from the child."""
        (found,) = self._opener(uri).stream("thumbnails", uri, list(times), width)
        return list(found)

    def probe(self, uris: Sequence[str]) -> list[VideoProbe | VideoError]:
        """`media.probe_video` of each, many at a time. Raises UserError as `probe_video` does."""
        found: dict[int, VideoProbe | VideoError] = {}
        for opener in (self._local, self._stores):
            found |= opener.probe({at: uri for at, uri in enumerate(uris) if self._opener(uri) is opener})
        return [found[at] for at in range(len(uris))]

    def close(self) -> None:
        """End the children. The next request starts another."""
        self._local.close()
        self._stores.close()

    def _opener(self, uri: str) -> "_Opener":
        return self._stores if local_path(uri) is None else self._local


class _Opener:
    """A child process, started when it is asked, and what it answers."""

    def __init__(self, limits: DecodeLimits, *, is_local: bool) -> None:
        self.child_cpu_seconds = 0.0
        self._limits = limits
        self._is_local = is_local
        self._child: Child | None = None

    def probe(self, uris: Mapping[int, str]) -> dict[int, VideoProbe | VideoError]:
        """When the child dies, those that it was reading are tried again one by one, to find whose fault it
        was."""
        found: dict[int, VideoProbe | VideoError] = {}
        while len(found) < len(uris):
            missing = {at: uri for at, uri in uris.items() if at not in found}
            answers, suspects = self._probe_together(missing)
            found |= answers
            for at in suspects:
                found[at] = self._probe_alone(uris[at])
        return found

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def stream(self, name: str, *request: Any, num_limits: int = 1, renews: bool = False) -> Iterator[Any]:
        """The pieces of an answer as they come, the first within `num_limits` times the limit; the rest, too,
        or if it `renews`, each within the limit of when it is asked for."""
        is_over = False
        try:
            self._ask(name, request)
            deadline = self._deadline(time.monotonic(), num_limits)
            while not isinstance(answer := self._answer(deadline), Done | Exception):
                yield answer
                if renews:  # whoever listens takes its time
                    deadline = self._deadline(time.monotonic())
            is_over = True
        except ChildLost as lost:
            raise VideoError(PIECES[name].stage, str(lost)) from lost
        finally:
            if not is_over:  # or its next words would be taken for the next segment's
                self.close()
        if isinstance(answer, Exception):
            self._raise(answer)
        self.child_cpu_seconds += answer.cpu_seconds

    def _probe_together(
        self, uris: Mapping[int, str]
    ) -> tuple[dict[int, VideoProbe | VideoError], Sequence[int]]:
        """What came back of `uris`, and whom to suspect of what did not."""
        found: dict[int, VideoProbe | VideoError] = {}
        begun: dict[int, float] = {}
        try:
            self._probe(uris, found, begun)
        except ChildLost as lost:
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
        except ChildLost as lost:
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

    def _deadline(self, since: float, num_limits: int = 1) -> float:
        return since + num_limits * self._limits.max_decode_seconds

    def _raise(self, error: Exception) -> NoReturn:
        if isinstance(error, VideoError) and error.reason == self._limits.too_large:
            self.close()  # its memory is in pieces
        raise error

    def _ask(self, name: str, request: object) -> None:
        if self._child is None or not self._child.is_alive():
            self.close()
            limits = self._limits
            arguments = [str(limits.max_decode_seconds), str(limits.max_decode_gigabytes)]
            self._child = Child(
                "decoder",
                "vbert.video.decode_child",
                [*arguments, LOCAL] if self._is_local else arguments,
                num_threads=1,
                environment=without_credentials(os.environ) if self._is_local else None,
            )
        self._child.send((name, request))

    def _answer(self, deadline: float) -> Any:
        assert self._child is not None  # who was asked
        return self._child.receive(deadline, self._limits.too_long)


@functools.cache
def worker_process(limits: DecodeLimits) -> DecoderProcess:
    """The one of this process, for all the tasks that a worker does one after the other."""
    return DecoderProcess(limits)
