"""Ray Data builds micro-batches from windows of documents, on the cluster's CPUs, ahead of the training."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from queue import Queue
from threading import Thread

import numpy as np
import pyarrow as pa
import ray

from vbert.lanes import MicroBatch, Window
from vbert.windows import WindowReader

# So many windows make one Ray dataset: it is built as fast as it can be, and no faster than it is consumed
# only because the next does not begin before.
WINDOWS_A_DATASET = 16
WINDOWS_AHEAD = 2  # wait here while the next dataset starts
# A task builds 6,000 sequences a second. It asks for half a CPU, to find room beside training workers.
TASKS = 2
CPUS_A_TASK = 0.5


def built_windows(
    windows: Iterator[Window], reader: WindowReader
) -> Iterator[tuple[Window, list[MicroBatch]]]:
    """The windows in their order, each with its micro-batches; a thread fetches them ahead of time."""
    waiting: Queue[tuple[Window, list[MicroBatch]] | Exception] = Queue(maxsize=WINDOWS_AHEAD)

    def fetch() -> None:
        try:
            for built in _built(windows, reader):
                waiting.put(built)
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            waiting.put(error)

    Thread(target=fetch, daemon=True).start()
    while True:
        found = waiting.get()
        if isinstance(found, Exception):
            raise found
        yield found


def _built(windows: Iterator[Window], reader: WindowReader) -> Iterator[tuple[Window, list[MicroBatch]]]:
    there = ray.put(reader)
    while chunk := list(islice(windows, WINDOWS_A_DATASET)):
        numbers = ray.data.range(len(chunk), override_num_blocks=len(chunk))
        numbers.context.execution_options.preserve_order = True
        built = numbers.map_batches(
            _builder(there, ray.put(chunk)),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=CPUS_A_TASK,
            compute=ray.data.TaskPoolStrategy(size=TASKS),
        )
        for block in built.iter_batches(batch_size=None, batch_format="pyarrow"):
            for number, mine in groupby(_rows(block), key=lambda row: row["window"].as_py()):
                yield chunk[number], [_arrays(row) for row in mine]


def _builder(
    reader: "ray.ObjectRef[WindowReader]", windows: "ray.ObjectRef[Sequence[Window]]"
) -> Callable[[pa.Table], pa.Table]:
    """Numbers of windows -> a row for each of their micro-batches."""

    def build(numbers: pa.Table) -> pa.Table:
        mine, chunk = ray.get([reader, windows])
        tables = [_table(number, mine.micro_batches(chunk[number])) for number in numbers["id"].to_pylist()]
        return pa.concat_tables(tables, promote_options="default")

    return build


def _table(number: int, batches: Sequence[MicroBatch]) -> pa.Table:
    """A row a micro-batch: every array flat, and how many rows it has. A window may have none."""
    if not batches:
        return pa.table({})
    columns = {name: pa.array([batch[name].ravel() for batch in batches]) for name in sorted(batches[0])}
    heights = [len(batch["input_ids"]) for batch in batches]
    return pa.table({"window": [number] * len(batches), "num_rows": heights, **columns})


def _rows(block: pa.Table) -> Iterator[dict[str, pa.Scalar]]:
    for at in range(block.num_rows):
        yield {name: block[name][at] for name in block.column_names}


def _arrays(row: dict[str, pa.Scalar]) -> dict[str, np.ndarray]:
    num_rows = row["num_rows"].as_py()
    return {
        name: cell.values.to_numpy(zero_copy_only=False).reshape(num_rows, -1)
        for name, cell in row.items()
        if name not in ("window", "num_rows")
    }
