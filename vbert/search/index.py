"""An index: vectors of intervals in shards, each an Arrow file of some ten thousand, searched exactly.

A shard is of some rows of one file of a table, and is named by them. Files of a table never change, so that a
new version's index lacks the shards of new files alone. Vectors are float16 of length 1: faiss compares with
them as they lie in the file, which is mapped where it is local. A few shards are in memory at a time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.documents.data_streams import Run
from vbert.search.hits import Hit, best_hits
from vbert.storage.ahead import ahead
from vbert.storage.files import delete_file, filesystem_of, local_path, names_in, patient, write_file
from vbert.tables.schemas import short_hash

FOLDER = "indexes"  # in the tables' folder, then the id of a featurizer or vocabulary, then what is in it
EXTENSION = ".arrow"
INTERVALS = pa.schema(
    [("video_id", pa.string()), ("start_seconds", pa.float64()), ("end_seconds", pa.float64())]
)
SHARDS_AT_ONCE = 4
ASKED_AT_FIRST = 4  # times the results that are wanted: others may be of the same video


def shard_runs(files: Mapping[str, int], *, num_rows: int) -> list[Run]:
    """All rows of a table's files (path: number of rows), so many a shard."""
    return [
        Run(path, first, min(num_rows, total - first))
        for path, total in sorted(files.items())
        for first in range(0, total, num_rows)
    ]


def shard_name(run: Run) -> str:
    """Of the file that holds the vectors of these rows."""
    return f"{short_hash(run.path, str(run.first), str(run.num_rows))}{EXTENSION}"


def write_shard(uri: str, intervals: pa.Table, vectors: np.ndarray) -> None:
    """Write the vectors [n, dim] of n rows of INTERVALS, scaled to length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    halves = np.ascontiguousarray((vectors / np.maximum(lengths, 1e-12)).astype("<f2"))
    width = halves.shape[1] * halves.itemsize
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(halves), [None, pa.py_buffer(halves.tobytes())]
    )
    columns = [rows.combine_chunks() for rows in intervals.cast(INTERVALS).columns]
    batch = pa.RecordBatch.from_arrays([*columns, column], names=[*INTERVALS.names, "vector"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    write_file(uri, sink.getvalue().to_pybytes())


@patient
def read_shard(uri: str) -> tuple[pa.RecordBatch, np.ndarray]:
    """What `write_shard` was given: INTERVALS, and float16 [n, dim]."""
    if (path := local_path(uri)) is not None:
        source = pa.memory_map(path)
    else:
        filesystem, path = filesystem_of(uri)
        source = pa.BufferReader(filesystem.cat_file(path))
    batch = pa.ipc.open_file(source).get_batch(0)
    column = batch.column("vector")
    width = column.type.byte_width
    halves = np.frombuffer(column.buffers()[1], "<f2", len(column) * width // 2)
    return batch.select(INTERVALS.names), halves.reshape(len(column), width // 2)


def nearest(
    uris: Sequence[str],
    asked: np.ndarray,
    *,
    num_results: int,
    num_per_video: int,
    leave_out: str | None = None,
) -> list[Hit]:
    """The intervals of all these shards whose cosine with a vector float32 [dim] is greatest, without those
    of the video `leave_out`."""
    asked = asked / max(float(np.linalg.norm(asked)), 1e-12)
    best = partial(best_hits, num_results=num_results, num_per_video=num_per_video)
    search = partial(_nearest_of, asked=asked, best=best, num_results=num_results, leave_out=leave_out)
    found: list[Hit] = []
    for hits in ahead(search, uris, num_threads=SHARDS_AT_ONCE):
        found = best([*found, *hits])
    return found


def _nearest_of(
    uri: str, *, asked: np.ndarray, best: "partial[list[Hit]]", num_results: int, leave_out: str | None
) -> list[Hit]:
    """The same of one shard: more neighbours are asked for until enough are of other videos."""
    intervals, vectors = read_shard(uri)
    # Of this thread alone. Two that wait for each other within a shard took 6 times as long on busy cores.
    faiss.omp_set_num_threads(1)
    if not len(vectors):
        return []
    index = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.add_sa_codes(vectors.view(np.uint8))
    num_asked = ASKED_AT_FIRST * num_results
    while True:
        num_asked = min(num_asked, len(vectors))
        scores, places = index.search(asked[None].astype(np.float32), num_asked)
        rows = intervals.take(pa.array(places[0])).append_column("score", pa.array(scores[0]))
        if leave_out is not None:
            rows = rows.filter(pc.not_equal(rows["video_id"], leave_out))
        hits = best([Hit(**row) for row in rows.to_pylist()])
        if len(hits) == num_results or num_asked == len(vectors):
            return hits
        num_asked *= 4


def index_folders(tables: str) -> list[str]:
    """All indexes of some tables."""
    filesystem, root = filesystem_of(f"{tables}/{FOLDER}")
    filesystem.invalidate_cache()
    folders = {path.rsplit("/", 1)[0] for path in filesystem.find(root) if path.endswith(EXTENSION)}
    return [f"{tables}/{FOLDER}{folder.removeprefix(root)}" for folder in sorted(folders)]


def shards_with(tables: str, video_ids: Collection[str]) -> Iterator[str]:
    """The shards of all indexes that hold an interval of any of the videos."""
    wanted = pa.array(sorted(video_ids), pa.string())
    for folder in index_folders(tables):
        for name in names_in(folder):
            uri = f"{folder}/{name}"
            filesystem, path = filesystem_of(uri)
            with filesystem.open(path) as file:
                only_ids = pa.ipc.IpcReadOptions(included_fields=[INTERVALS.get_field_index("video_id")])
                batch = pa.ipc.open_file(file, options=only_ids).get_batch(0)
                if pc.any(pc.is_in(batch.column("video_id"), wanted)).as_py():
                    yield uri


def delete_shards(uris: Collection[str]) -> None:
    """Delete them; another job may have done so before."""
    for uri in uris:
        delete_file(uri)
