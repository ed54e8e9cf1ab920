"""Actors build micro-batches from windows of documents, on the node of the worker that trains on them."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import ray

from vbert.distributed.attempts import actor_retries
from vbert.documents.data_streams import ShuffleWindow
from vbert.documents.sequences import Batch
from vbert.documents.shuffle_windows import ShuffleWindowReader

# Each builds 6,000 sequences a second: a GPU may train on more, a CPU trains on some hundred, of which a
# second builder would take its share.
BUILDERS_OF_A_GPU, BUILDERS_OF_A_CPU = 2, 1
WINDOWS_AHEAD = 16  # a worker of 8 streams comes to the ends of 8 windows at about the same time
NODE_ID_LABEL = "ray.io/node-id"  # Ray's own, on every node


def built_windows(
    windows: Iterator[ShuffleWindow], reader: ShuffleWindowReader, *, num_builders: int
) -> Generator[tuple[ShuffleWindow, Sequence[Batch]], None, None]:
    """The windows, which do not end, in their order, each with its micro-batches; close it to stop.

    WINDOWS_AHEAD are asked for; built ones wait in the object store. Builders ask for no CPU, which workers
    may have taken all of, and belong where their batches are used.
    """
    remote: Any = ray.remote(WindowBuilder).options(
        num_cpus=0,
        label_selector={NODE_ID_LABEL: ray.get_runtime_context().get_node_id()},
        **actor_retries(),
    )
    # In a mapping: of an argument in the object store Ray warns that a restart may not find it.
    given = {"reader": ray.put(reader)}
    builders = [remote.remote(given) for _ in range(num_builders)]
    asked: deque[tuple[ShuffleWindow, ray.ObjectRef[Sequence[Batch]]]] = deque()
    for number, window in enumerate(windows):
        asked.append((window, builders[number % num_builders].micro_batches.remote(window)))
        if len(asked) == WINDOWS_AHEAD:
            first, batches = asked.popleft()
            yield first, ray.get(batches)


class WindowBuilder:
    """An actor."""

    def __init__(self, given: Mapping[str, "ray.ObjectRef[ShuffleWindowReader]"]) -> None:
        self.reader: ShuffleWindowReader = ray.get(given["reader"])

    def micro_batches(self, window: ShuffleWindow) -> Sequence[Batch]:
        """As the reader makes them."""
        return self.reader.micro_batches(window)
