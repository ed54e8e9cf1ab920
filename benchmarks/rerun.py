"""A rerun when nothing has changed: seconds and memory against the number of videos.

    python -m benchmarks.rerun --num-videos 100000
    python -m benchmarks.rerun --num-videos 10000000 --latency-ms 30    # in a bucket that is not there

Makes that many empty files and a ledger that has them all, then runs the job. The floor is one `os.scandir`
walk with a stat a file in the same run, or a listing of the simulated bucket, folder by folder on 32 threads:
the least that finding out what changed can cost.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fsspec
import pyarrow as pa

from benchmarks.simulated_store import FILES_A_FOLDER, register
from vbert.corpus.listing import NUM_THREADS
from vbert.corpus.set_aside import SetAside
from vbert.corpus.sources import corpus_parts
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id
from vbert.storage.ahead import ahead
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import with_columns_of
from vbert.tables.schemas import VIDEOS

ROOT = Path(__file__).parents[1]
JOB = """
from benchmarks.simulated_store import register
from vbert.console import run_command
register()
run_command("featurize")
"""


def main() -> None:
    """Make the corpus and its ledger, run the job, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-videos", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=int, help="simulate a bucket, with this latency")
    options = parser.parse_args()
    register()
    with tempfile.TemporaryDirectory() as folder:
        corpus, tables = str(Path(folder, "corpus")), Path(folder, "tables")
        if options.latency_ms is None:
            make_corpus(Path(corpus), options.num_videos)
        else:
            corpus = f"simulated://{options.num_videos}-{options.latency_ms}/videos"
        write_ledger(corpus, tables)
        floor_seconds = walk_seconds(corpus) if options.latency_ms is None else list_seconds(corpus)
        seconds = job_seconds(corpus, tables)
        idle_seconds = import_seconds()
    peak_gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    work_seconds = seconds - idle_seconds
    print(f"{options.num_videos:,} videos, nothing changed: {seconds:.1f} s, peak {peak_gigabytes:.2f} GB")
    print(f"  of that the start of Python and its imports: {idle_seconds:.1f} s")
    ratio = work_seconds / floor_seconds
    print(f"  a bare listing of the same files: {floor_seconds:.2f} s; the job's work: {ratio:.1f} x that")


def make_corpus(corpus: Path, num_videos: int) -> None:
    """Empty files, a thousand a folder."""
    for number in range(num_videos):
        folder = corpus / f"{number // FILES_A_FOLDER:06}"
        if number % FILES_A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:09}.mp4").touch()


def write_ledger(corpus: str, tables: Path) -> None:
    """What the job would have written, had the files been videos: a commit for each part of the listing."""
    featurizer = featurizer_id(FeaturizerConfig())
    table = Table(str(tables), VIDEOS)
    table.create()
    committer = Committer(table, partition=featurizer)
    for part in corpus_parts(corpus, SetAside()):
        committer.commit([table.write_file(as_done(part, featurizer))])


def as_done(known: pa.Table, featurizer: str) -> pa.Table:
    """The ledger's rows of rows of CORPUS, had all gone well."""
    for name, value in (("featurizer", featurizer), ("status", "ok")):
        known = known.append_column(name, pa.repeat(value, known.num_rows))
    return with_columns_of(known, VIDEOS.schema)


def list_seconds(corpus: str) -> float:
    """Every folder of the bucket listed once."""
    start = time.monotonic()
    store, path = fsspec.url_to_fs(corpus)
    folders = [found["name"] for found in store.ls(path)]
    num_videos = sum(len(found) for found in ahead(store.ls, folders, num_threads=NUM_THREADS))
    assert num_videos > 0
    return time.monotonic() - start


def walk_seconds(folder: str) -> float:
    """Every file of the folder looked at once."""
    start = time.monotonic()
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(entry.path)
                else:
                    entry.stat()
    return time.monotonic() - start


def job_seconds(corpus: str, tables: Path) -> float:
    """The job as a user runs it, in a process that knows the simulated bucket."""
    command = [sys.executable, "-c", JOB, "--corpus", corpus, "--tables", str(tables)]
    start = time.monotonic()
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "featurized            0" in output, output
    return time.monotonic() - start


def import_seconds() -> float:
    """What the job takes before it does anything."""
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "jobs/featurize.py", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - start


if __name__ == "__main__":
    main()
