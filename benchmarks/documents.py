"""Building documents: bytes read over the size of the features table, and seconds, by the number of videos.

    python -m benchmarks.documents --num-videos 1000 4000 16000
    python -m benchmarks.documents --one-in 1000000

The tables lie in an S3 stand-in behind a proxy that counts, in files whose videos come from anywhere: nothing
helps but to read each file once. Floor: one times the table. `--one-in` is a night's run: one video more than
those of which there are documents, in tables as compaction leaves them, of clips with short vectors.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch

from tests.object_store import ObjectStore, make_bucket, object_store
from vbert.distributed.build_documents import DocumentsConfig, build_documents
from vbert.features.segment_rows import feature_table
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS, short_hash
from vbert.vocabulary.tree import Vocabulary, save

FEATURIZER = "f-1"
CLIPS, DIM = 20, 256
VIDEOS_PER_FILE = 250


def main() -> None:
    """Tables of each size, or one more video."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-videos", type=int, nargs="+", default=[1000, 4000, 16_000])
    parser.add_argument("--one-in", type=int, help="one video more than so many")
    parser.add_argument("--with-transcripts", action="store_true", help="each of those has one")
    options = parser.parse_args()
    if options.one_in:
        with object_store() as store, pytest.MonkeyPatch.context() as patch:
            bucket = make_bucket(store, patch)
            print("\n".join(one_more(options.one_in, store, bucket, transcripts=options.with_transcripts)))
        return
    print("| videos | table MB | read MB | read / table | seconds |")
    print("|---|---|---|---|---|")
    print_rows(row_of, options.num_videos)


def print_rows(row_of: Callable[[int, ObjectStore, str], str], sizes: Sequence[int]) -> None:
    """A line for each size, of a bucket in a store of its own."""
    for size in sizes:
        with object_store() as store, pytest.MonkeyPatch.context() as patch:
            print(row_of(size, store, make_bucket(store, patch)), flush=True)
            ray.shutdown()  # its workers know this store only


def row_of(num_videos: int, store: ObjectStore, bucket: str) -> str:
    """A line of the table."""
    vocabulary = vocabulary_in(bucket, dim=DIM)
    names = [short_hash(str(number)) for number in range(num_videos)]
    for at in range(0, num_videos, VIDEOS_PER_FILE):
        put(bucket, names[at : at + VIDEOS_PER_FILE])
    size = sum(file.size_bytes for file in Table(bucket, FEATURES).stored(partition=FEATURIZER))
    before, start = store.counts(), time.monotonic()
    assert build_documents(DocumentsConfig(tables=bucket, vocabulary=vocabulary)).num_built == num_videos
    seconds = time.monotonic() - start
    read = store.counts()["bytes features"] - before.get("bytes features", 0)
    return f"| {num_videos:,} | {size / 1e6:.1f} | {read / 1e6:.1f} | {read / size:.3f} | {seconds:.1f} |"


def one_more(num_videos: int, store: ObjectStore, bucket: str, *, transcripts: bool) -> Iterator[str]:
    """A line of requests and bytes in all, and one for each table."""
    vocabulary = vocabulary_in(bucket, dim=1)
    names = sorted(short_hash(str(number)) for number in range(num_videos))
    for layout, rows_of in (
        (VIDEOS, partial(ledger_rows, transcripts=transcripts)),
        (FEATURES, partial(clip_rows, clips=1, dim=1)),
        (DOCUMENTS, partial(document_rows, vocabulary=Path(vocabulary).name, transcripts=transcripts)),
    ):
        step = layout.rows_per_file
        table = Table(bucket, layout)
        table.create()
        parts = (rows_of(names[at : at + step]) for at in range(0, num_videos, step))
        files = [table.write_file(rows) for rows in parts]
        Committer(table, partition=files[0].partition).commit(files)
        table.log.sum_up()
    put(bucket, [short_hash("one more")], clips=1, dim=1)
    before, start = store.counts(), time.monotonic()
    assert build_documents(DocumentsConfig(tables=bucket, vocabulary=vocabulary)).num_built == 1
    seconds = time.monotonic() - start
    after = store.counts()
    requests, megabytes = spent(before, after)
    yield f"one more than {num_videos:,} videos: {requests} requests, {megabytes:.2f} MB, {seconds:.1f} s"
    for name in ("videos", "documents", "features", "_delta_log"):
        requests, megabytes = spent(before, after, folder=name)
        yield f"{name}: {requests} requests, {megabytes:.2f} MB"


def spent(
    before: Mapping[str, int], after: Mapping[str, int], *, folder: str | None = None
) -> tuple[int, float]:
    """Requests and megabytes between two counts of a store, in all or of what lies in folders of a name."""
    names = ("well", "bytes") if folder is None else (f"requests {folder}", f"bytes {folder}")
    requests, read = (after[name] - before.get(name, 0) for name in names)
    return requests, read / 1e6


def vocabulary_in(bucket: str, *, dim: int) -> str:
    """The folder of one with 512 words."""
    torch.manual_seed(0)
    levels = [torch.randn(8**level, 8, dim) for level in range(3)]
    return save(Vocabulary(featurizer=FEATURIZER, centroids=levels), bucket)


def put(root: str, names: list[str], *, clips: int = CLIPS, dim: int = DIM) -> None:
    """A file of features and one of the ledger."""
    for layout, rows in ((FEATURES, clip_rows(names, clips=clips, dim=dim)), (VIDEOS, ledger_rows(names))):
        table = Table(root, layout)
        table.create()
        Committer(table, partition=FEATURIZER).commit([table.write_file(rows)])


def clip_rows(names: list[str], *, clips: int, dim: int, featurizer: str = FEATURIZER) -> pa.Table:
    """A segment a video."""
    noise = np.random.default_rng(len(names)).normal(size=(len(names), clips, dim))
    facts = {"featurizer": featurizer}
    segment = {"segment_index": 0, "clip_seconds": 1.5, "clip_start_seconds": np.arange(clips) * 1.5}
    rows = [facts | segment | made_of(name, transcripts=False) for name in names]
    return feature_table(rows, list(noise.astype(np.float16).astype(np.float32)))


def ledger_rows(names: list[str], *, transcripts: bool = False) -> pa.Table:
    """A row a video, with uris and lengths that compress as those of a corpus do."""
    facts: dict[str, Any] = {"featurizer": FEATURIZER, "status": "ok", "num_clips": CLIPS, "codec": "h264"}
    rows = []
    for name, seconds in zip(names, np.random.default_rng(0).lognormal(5.5, 0.8, len(names)), strict=True):
        uri = f"s3://corpus/videos/{name[-2:]}/{name[:11]}"
        measured = {"duration_seconds": seconds, "size_bytes": int(seconds * 60_000)}
        files = {"uri": f"{uri}.mp4", "transcript_uri": f"{uri}.vtt" if transcripts else None}
        rows.append(
            dict.fromkeys(VIDEOS.schema.names)
            | facts
            | made_of(name, transcripts=transcripts)
            | measured
            | files
        )
    return pa.Table.from_pylist(rows, schema=VIDEOS.schema)


def document_rows(names: list[str], *, vocabulary: str, transcripts: bool) -> pa.Table:
    """As the ledger's rows give."""
    facts: dict[str, Any] = {"vocabulary": vocabulary, "visual_tokens": [1]}
    empty = dict.fromkeys(DOCUMENTS.schema.names)
    rows = [empty | facts | made_of(name, transcripts=transcripts) for name in names]
    return pa.Table.from_pylist(rows, schema=DOCUMENTS.schema)


def made_of(name: str, *, transcripts: bool) -> dict[str, str | None]:
    """Of a video by its id: what its features and its document were made of."""
    text = short_hash(name, "transcript") if transcripts else None
    return {"video_id": name, "fingerprint": short_hash(name, "file"), "transcript_fingerprint": text}


if __name__ == "__main__":
    main()
