"""Building documents: bytes read over the size of the features table, and seconds, by the number of videos.

    python -m benchmarks.documents --num-videos 1000 4000 16000

The tables lie in an S3 stand-in behind a proxy that counts. in files whose videos come from anywhere: nothing
helps but to read each file once. Then, after compaction, one more video: what a night's run costs. Floor: one
times the table.
"""

import argparse
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch

from tests.object_store import ObjectStore, make_bucket, object_store
from vbert.distributed.build_documents import DocumentsConfig, build_documents
from vbert.distributed.compact_tables import CompactConfig, compact_tables
from vbert.features.segment_rows import feature_table
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS, short_hash
from vbert.vocabulary.tree import Vocabulary, save

FEATURIZER = "f-1"
CLIPS, DIM = 20, 256
VIDEOS_PER_FILE = 250


def main() -> None:
    """Tables of each size, built twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-videos", type=int, nargs="+", default=[1000, 4000, 16_000])
    options = parser.parse_args()
    print("| videos | table MB | read MB | read / table | seconds | then one video: read MB | requests |")
    print("|---|---|---|---|---|---|---|")
    for num_videos in options.num_videos:
        with object_store() as store, pytest.MonkeyPatch.context() as patch:
            print(row_of(num_videos, store, make_bucket(store, patch)), flush=True)
            ray.shutdown()  # its workers know this store only


def row_of(num_videos: int, store: ObjectStore, bucket: str) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    levels = [torch.randn(8**level, 8, DIM) for level in range(3)]
    vocabulary = save(Vocabulary(featurizer=FEATURIZER, centroids=levels), bucket)
    config = DocumentsConfig(tables=bucket, vocabulary=vocabulary)
    names = [short_hash(str(number)) for number in range(num_videos)]
    for at in range(0, num_videos, VIDEOS_PER_FILE):
        put(bucket, names[at : at + VIDEOS_PER_FILE])
    table = Table(bucket, FEATURES)
    size = sum(file.size_bytes for file in table.stored(partition=FEATURIZER))
    before, start = store.counts(), time.monotonic()
    assert build_documents(config).num_built == num_videos
    seconds = time.monotonic() - start
    built = store.counts()
    compact_tables(CompactConfig(tables=bucket, target_megabytes=2))
    put(bucket, [short_hash("one more")])
    put_done = store.counts()
    assert build_documents(config).num_built == 1
    after = store.counts()
    read = built["bytes features"] - before.get("bytes features", 0)
    tables = ("videos", "features", "documents")
    read_again = sum(after[f"bytes {name}"] - put_done[f"bytes {name}"] for name in tables)
    requests = sum(after[f"requests {name}"] - put_done[f"requests {name}"] for name in tables)
    return (
        f"| {num_videos:,} | {size / 1e6:.1f} | {read / 1e6:.1f} | {read / size:.3f} | {seconds:.1f} "
        f"| {read_again / 1e6:.2f} | {requests} |"
    )


def put(root: str, names: list[str]) -> None:
    """A file of features and one of the ledger."""
    noise = np.random.default_rng(len(names)).normal(size=(len(names), CLIPS, DIM))
    vectors = noise.astype(np.float16).astype(np.float32)
    facts: dict[str, Any] = {"featurizer": FEATURIZER, "fingerprint": "a"}
    segment = {"segment_index": 0, "clip_seconds": 1.5, "clip_start_seconds": np.arange(CLIPS) * 1.5}
    commit(
        Table(root, FEATURES),
        feature_table([facts | segment | {"video_id": name} for name in names], list(vectors)),
    )
    facts |= {"status": "ok", "num_clips": CLIPS}
    rows = [
        dict.fromkeys(VIDEOS.schema.names) | facts | {"video_id": name, "uri": f"/{name}"} for name in names
    ]
    commit(Table(root, VIDEOS), pa.Table.from_pylist(rows, schema=VIDEOS.schema))


def commit(table: Table, rows: pa.Table) -> None:
    """Another job's commit."""
    table.create()
    Committer(table, partition=FEATURIZER).commit([table.write_file(rows)])


if __name__ == "__main__":
    main()
