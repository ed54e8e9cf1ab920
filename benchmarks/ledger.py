"""One row replaced in a ledger of many, as compaction leaves it: seconds and memory of the driver.

    python benchmarks/ledger.py --num-videos 1000000 10000000

Floor: a ledger of one file, of which a row is replaced in the same run.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import pyarrow as pa

from vbert.features.ledger import Ledger
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import VIDEOS

FEATURIZER = "f-1"


def main() -> None:
    """A ledger of each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-videos", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--replace-in", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replace_in:
        replace_one(options.replace_in)
        return
    print("| videos | files | seconds | of the floor | MB more in the driver |")
    print("|---|---|---|---|---|")
    floor = None
    for num_videos in [VIDEOS.rows_per_file, *options.num_videos]:
        with tempfile.TemporaryDirectory() as folder:
            num_files = write_ledger(folder, num_videos)
            command = [sys.executable, __file__, "--replace-in", folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, megabytes = map(float, said.split())
        floor = floor or seconds
        print(f"| {num_videos:,} | {num_files} | {seconds:.2f} | {seconds / floor:.1f} | {megabytes:.0f} |")


def name_of(number: int) -> str:
    """An id, whose order is that of the numbers."""
    return f"{number:016x}"


def write_ledger(folder: str, num_videos: int) -> int:
    """Files of neighbours; how many."""
    table = Table(folder, VIDEOS)
    table.create()
    size = VIDEOS.rows_per_file
    files = [
        table.write_file(rows_of(range(at, min(at + size, num_videos)))) for at in range(0, num_videos, size)
    ]
    Committer(table, partition=FEATURIZER).commit(files)
    return len(files)


def rows_of(numbers: Sequence[int]) -> pa.Table:
    """Rows of VIDEOS."""
    same = {
        "featurizer": FEATURIZER,
        "fingerprint": "0123456789abcdef",
        "size_bytes": 12_345_678,
        "duration_seconds": 267.0,
        "fps": 29.97,
        "width": 640,
        "height": 360,
        "codec": "h264",
        "status": "ok",
        "num_segments": 5,
        "num_clips": 178,
    }
    columns: dict[str, pa.Array] = {
        "video_id": pa.array(map(name_of, numbers), pa.string()),
        "uri": pa.array((f"s3://corpus/videos/{number:016}.mp4" for number in numbers), pa.string()),
    }
    for field in VIDEOS.schema:
        value = pa.scalar(same[field.name], field.type) if field.name in same else pa.scalar(None, field.type)
        columns.setdefault(field.name, pa.repeat(value, len(numbers)))
    return pa.table(columns).select(VIDEOS.schema.names)


def replace_one(folder: str) -> None:
    """As a run does with one changed video; print seconds, and megabytes above what it began with."""
    ledger = Ledger(folder, featurizer=FEATURIZER)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    (row,) = ledger.read(video_ids=[name_of(40_000)]).to_pylist()
    ledger.put([], [row | {"fingerprint": "new"}], replaced=[], listed=[row["video_id"]])
    seconds = time.monotonic() - start
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    (found,) = ledger.read(video_ids=[row["video_id"]]).to_pylist()
    assert found["fingerprint"] == "new"
    print(seconds, more)


if __name__ == "__main__":
    main()
