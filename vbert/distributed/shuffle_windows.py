"""Ray Data builds micro-batches from windows of documents, on the CPUs of each worker's node, ahead of it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from queue import Full, Queue
from threading import Event, Thread

import numpy as np
import pyarrow as pa
import ray

from vbert.distributed.attempts import task_retries
from vbert.documents.data_streams import ShuffleWindow
from vbert.documents.sequences import Batch
from vbert.documents.shuffle_windows import ShuffleWindowReader

WINDOWS_A_DATASET = 16
# A task builds 6,000 sequences a second.
TASKS = 2
NODE_ID_LABEL = "ray.io/node-id"  # Ray's own, on every node

Built = tuple[ShuffleWindow, list[Batch]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Windows and, for each in order, the block of its micro-batches."""

    windows: Sequence[ShuffleWindow]
    blocks: list["ray.ObjectRef[pa.Table]"]


def built_windows(
    windows: Iterator[ShuffleWindow], reader: ShuffleWindowReader
) -> Generator[Built, None, None]:
    """The windows in their order, each with its micro-batches; close it to stop.

    While one dataset of windows is consumed a thread has the next one built, and another waits in between:
    so far ahead and no further. They are built to the end, in the object store, since the executor of a
    dataset that waits for its consumer keeps a core busy.
    """
    waiting: Queue[Chunk | Exception] = Queue(maxsize=1)
    is_closed = Event()
    thread = Thread(target=_build_ahead, args=(windows, reader, waiting, is_closed), daemon=True)
    thread.start()
    try:
        while True:
            chunk = waiting.get()
            if isinstance(chunk, Exception):
                raise chunk
            for block in map(ray.get, chunk.blocks):
                for number, mine in groupby(_rows(block), key=lambda row: row["window"].as_py()):
                    yield chunk.windows[number], [_arrays(row) for row in mine]
    finally:
        is_closed.set()
        thread.join()


def _build_ahead(
    windows: Iterator[ShuffleWindow],
    reader: ShuffleWindowReader,
    waiting: "Queue[Chunk | Exception]",
    is_closed: Event,
) -> None:
    """Fill the queue until it is closed, or with the error that ends it."""
    found: Chunk | Exception
    there = ray.put(reader)
    while not is_closed.is_set():
        try:
            chunk = list(islice(windows, WINDOWS_A_DATASET))
            found = Chunk(chunk, _blocks(chunk, there))
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            found = error
        while not is_closed.is_set():
            with suppress(Full):
                waiting.put(found, timeout=0.5)
                break
        if isinstance(found, Exception):
            return


def _blocks(
    chunk: Sequence[ShuffleWindow], reader: "ray.ObjectRef[ShuffleWindowReader]"
) -> list["ray.ObjectRef[pa.Table]"]:
    """The micro-batches of some windows, in order, built on the cluster."""
    numbers = ray.data.from_items(list(range(len(chunk))), override_num_blocks=len(chunk))
    numbers.context.execution_options.preserve_order = True
    # No task asks for a CPU: Ray Data deals out what workers leave of a node to all datasets that run, in
    # whole CPUs (DefaultAutoscalingCoordinator); with more workers than CPUs none would ever get one. The
    # node is named, since such a task might be put on the head; it belongs where its batches are used.
    built = numbers.map_batches(
        _builder(reader, ray.put(chunk)),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        label_selector={NODE_ID_LABEL: ray.get_runtime_context().get_node_id()},
        compute=ray.data.TaskPoolStrategy(size=TASKS),
        **task_retries(),
    )
    refs: list[ray.ObjectRef[pa.Table]] = built.materialize().to_arrow_refs()
    return refs


def _builder(
    reader: "ray.ObjectRef[ShuffleWindowReader]", windows: "ray.ObjectRef[Sequence[ShuffleWindow]]"
) -> Callable[[pa.Table], pa.Table]:
    """Numbers of windows -> a row for each of their micro-batches."""

    def build(numbers: pa.Table) -> pa.Table:
        mine, chunk = ray.get([reader, windows])
        tables = [_table(number, mine.micro_batches(chunk[number])) for number in numbers["item"].to_pylist()]
        return pa.concat_tables(tables, promote_options="default")

    return build


def _table(number: int, batches: Sequence[Batch]) -> pa.Table:
    """A row a micro-batch: every array flat, and how wide it is. A window may have none."""
    if not batches:
        return pa.table({})
    columns = {name: pa.array([batch[name].ravel() for batch in batches]) for name in sorted(batches[0])}
    widths = [{name: values.shape[1] for name, values in batch.items()} for batch in batches]
    return pa.table({"window": [number] * len(batches), "widths": pa.array(widths), **columns})


def _rows(block: pa.Table) -> Iterator[dict[str, pa.Scalar]]:
    for at in range(block.num_rows):
        yield {name: block[name][at] for name in block.column_names}


def _arrays(row: dict[str, pa.Scalar]) -> dict[str, np.ndarray]:
    widths = row["widths"].as_py()
    return {
        name: row[name].values.to_numpy(zero_copy_only=False).reshape(-1, width)
        for name, width in widths.items()
    }
