"""Rows of the tables `videos` and `features`: made up, and as they are found."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vbert.features.segment_rows import feature_table
from vbert.tables.clustering import files_to_join, join_files
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS

DIM = 7


def feature_rows(
    video_ids: str, *, segments: int = 3, fingerprint: str = "a", featurizer: str = "f-1"
) -> pa.Table:
    keys = [(video_id, index) for video_id in video_ids for index in range(segments)]
    vectors = [np.full((2, DIM), ord(video_id) + index / 8, np.float32) for video_id, index in keys]
    rows = [
        {
            "video_id": video_id,
            "featurizer": featurizer,
            "fingerprint": fingerprint,
            "segment_index": index,
            "clip_seconds": 1.5,
            "clip_start_seconds": [3.0 * index, 3.0 * index + 1.5],
            "num_dropped_clips": 0,
            "warnings": [],
            "motion": [float(index), 8.0],
            "brightness": [100.0, 10.0 * index],
            "sharpness": [50.0, 500.0],
            "cut": [5.0, 30.0],
        }
        for video_id, index in keys
    ]
    return feature_table(rows, vectors)


def keys_of(table: Table, partition: str = "f-1") -> list[tuple[str, int, str]]:
    rows = table.read(columns=["video_id", "segment_index", "fingerprint"], partition=partition).to_pylist()
    return sorted((row["video_id"], row["segment_index"], row["fingerprint"]) for row in rows)


def compact(
    table: Table, *, partition: str = "f-1", target_bytes: int = 1 << 20, committer: Committer | None = None
) -> list[int | None]:
    """As compact_tables does, or a job that commits with `committer`; the versions of its commits."""
    versions = []
    for group in files_to_join(table, partition=partition, target_bytes=target_bytes):
        joined = join_files(table, group, partition=partition, target_bytes=target_bytes)
        paths = [file.path for file in group]
        commits = committer or Committer(table, partition=partition)
        versions.append(commits.compact(joined, instead_of=paths))
    return versions


def rows_of(tables: Path | str) -> dict[str, list[dict[str, Any]]]:
    """All rows of both tables, in the order of their keys."""
    found = {}
    for layout in (VIDEOS, FEATURES):
        table = Table(str(tables), layout)
        rows = [
            row
            for partition in table.partitions()
            for row in table.read(columns=layout.schema.names, partition=partition).to_pylist()
        ]
        found[layout.name] = sorted(rows, key=lambda row: [row[name] for name in layout.key])
    return found


def make_old(table: Table, *, hours: float) -> None:
    """All that is there: files, and what the log says of when files were removed."""
    at = time.time() - hours * 3600
    for path in Path(table.uri).rglob("part-*.parquet"):
        os.utime(path, (at, at))
    for path in Path(table.uri, "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            if "remove" in action:
                action["remove"]["deletionTimestamp"] = int(at * 1000)
        path.write_text("\n".join(map(json.dumps, actions)))
