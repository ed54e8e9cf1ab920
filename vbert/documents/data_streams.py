"""The order of the data: which documents come when, the same for any number of workers.

A global batch takes one micro-batch from each of a fixed number of data streams. A stream is an endless
sequence of shuffle windows, and a worker runs the streams of its own: 8 streams are 8 workers' with one each,
or one worker's with 8 micro-batches a step. So losses do not depend on the workers, and a run may go on with
more or fewer of them. (MosaicML's streaming calls its own canonical nodes.)
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vbert.documents.sequences import Batch, random_generator

# 512 documents of 200 tokens are 100,000 tokens: enough to mix, and 10 MB in memory.
DOCUMENTS_PER_SHUFFLE_WINDOW = 512
# Neighbours in a file are read together where the corpus is large enough to be mixed all the same.
LONGEST_RUN = 32
RUNS_FOR_A_GOOD_MIX = 4096


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows of one file."""

    path: str
    first: int
    num_rows: int


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a stream is: its epoch, the window in it, and the micro-batches taken from that window."""

    epoch: int = 0
    window: int = 0
    batch: int = 0


@dataclass(frozen=True, slots=True)
class ShuffleWindow:
    """Documents that are in memory together."""

    stream: int
    epoch: int
    number: int  # in the stream and epoch
    runs: tuple[Run, ...]


def cut_runs(files: Mapping[str, int]) -> list[Run]:
    """All rows of files (path: number of rows) in runs: single rows of a small corpus, 32 of a large one."""
    length = max(1, min(LONGEST_RUN, sum(files.values()) // RUNS_FOR_A_GOOD_MIX))
    return [
        Run(path, first, min(length, num_rows - first))
        for path, num_rows in sorted(files.items())
        for first in range(0, num_rows, length)
    ]


def windows_of_epoch(
    runs: Sequence[Run], *, seed: int, epoch: int, num_streams: int
) -> list[list[ShuffleWindow]]:
    """Every run once, in an order of this epoch's own: for each stream its windows, of even size."""
    order = random_generator(seed, epoch, "runs").permutation(len(runs))
    return [
        _windows([runs[at] for at in order[stream::num_streams]], stream=stream, epoch=epoch)
        for stream in range(num_streams)
    ]


def _windows(runs: Sequence[Run], *, stream: int, epoch: int) -> list[ShuffleWindow]:
    num_windows = max(1, math.ceil(sum(run.num_rows for run in runs) / DOCUMENTS_PER_SHUFFLE_WINDOW))
    return [
        ShuffleWindow(stream, epoch, number, tuple(runs[number::num_windows]))
        for number in range(num_windows)
    ]


def windows_from(
    positions: Mapping[int, Position], runs: Sequence[Run], *, seed: int, num_streams: int
) -> Iterator[ShuffleWindow]:
    """The windows of some streams from their positions on, without end, those that are due first first."""
    epoch = min(position.epoch for position in positions.values())
    while True:
        streams = windows_of_epoch(runs, seed=seed, epoch=epoch, num_streams=num_streams)
        due = [
            window
            for stream, position in positions.items()
            for window in streams[stream]
            if (epoch, window.number) >= (position.epoch, position.window)
        ]
        yield from sorted(due, key=lambda window: (window.number, window.stream))
        epoch += 1


def streams_of_worker(rank: int, *, num_workers: int, num_streams: int) -> list[int]:
    """Which streams a worker runs."""
    return list(range(rank, num_streams, num_workers))


def split_evenly(num_rows: int, *, at_most: int) -> list[slice]:
    """`num_rows` rows as the fewest micro-batches of at most `at_most`, as even as can be."""
    count = math.ceil(num_rows / at_most)
    bounds = [round(number * num_rows / count) for number in range(count + 1)] if count else [0]
    return [slice(first, last) for first, last in pairwise(bounds)]


def in_share(purpose: str, video_id: str, share: float) -> bool:
    """Whether a video is in a share of all, by a hash of its id: the same in every run. Shares are nested."""
    return share >= 1 or bool(random_generator(purpose, video_id).random() < share)


class WorkerStreams:
    """This worker's part of each global batch: the next micro-batch of each of its streams.

    `built` gives windows in the order of `windows_from`, each with its micro-batches. Streams are rarely even
    to the batch, so a window that is built may wait here until its stream comes to it.
    """

    def __init__(
        self, built: Iterator[tuple[ShuffleWindow, Sequence[Batch]]], positions: Mapping[int, Position]
    ) -> None:
        self.positions = dict(positions)
        self._built = built
        self._waiting: dict[int, deque[tuple[ShuffleWindow, Sequence[Batch]]]] = {
            stream: deque() for stream in positions
        }

    def next_batches(self) -> dict[int, Batch]:
        """One micro-batch of each stream; moves the positions behind them."""
        return {stream: self._next(stream) for stream in self.positions}

    def _next(self, stream: int) -> Batch:
        waiting = self._waiting[stream]
        while True:
            while not waiting:
                window, batches = next(self._built)
                self._waiting[window.stream].append((window, batches))
            window, batches = waiting[0]
            at = self.positions[stream]
            first = at.batch if (at.epoch, at.window) == (window.epoch, window.number) else 0
            if first < len(batches):
                self.positions[stream] = Position(window.epoch, window.number, first + 1)
                return batches[first]
            waiting.popleft()
