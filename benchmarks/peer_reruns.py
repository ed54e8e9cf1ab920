"""One new video among many that are done: ours, Ray Data's checkpoints and Daft's anti-join.

Run by `python -m benchmarks.peers rerun`. What a first run leaves is put there without running it: a ledger,
a checkpoint of ids, features in Parquet. The peers take the mean of a picture for a network, which costs
nothing: what is measured is how they find out what is left to do. Ours runs its network.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peer_jobs import FEATURIZE
from benchmarks.prepared import encode, environment, name_again
from benchmarks.process_tree import watched
from benchmarks.rerun import write_ledger

SECONDS = 1.5  # of a video: one clip
FRAMES_PER_VIDEO = 3
FEATURE_DIM = 1280
LIMIT_SECONDS = 200  # of one run
CHECKPOINTS = """
import sys, time
import ray
from ray.data.checkpoint import CheckpointConfig
corpus, left, cores = sys.argv[1], sys.argv[2], int(sys.argv[3])
ray.init("local", num_cpus=cores + 2, logging_level="ERROR", log_to_driver=False)
start = time.monotonic()
ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
    id_column="path", checkpoint_path=f"{left}/checkpoint", delete_checkpoint_on_success=False
)
def features(batch):
    means = batch["frame"].mean((1, 2))
    return {"path": batch["path"], "frame_index": batch["frame_index"], "features": means}
"""
READ_VIDEOS = """
frames = ray.data.read_videos(corpus, include_paths=True)
frames = frames.filter(lambda row: row["frame_index"] % 15 == 0)
frames.map_batches(features, batch_size=30).write_parquet(f"{left}/new")
seconds = time.monotonic() - start
ray.data.DataContext.get_current().checkpoint_config = None
print(ray.data.read_parquet(f"{left}/new").count() // 3, seconds)
"""
# A row a video, and its frames are read after the filter.
READ_MANIFEST = """
import av, numpy as np
def decode(batch):
    means = []
    for path in batch["path"]:
        with av.open(path) as container:
            frames = [frame for number, frame in enumerate(container.decode(video=0)) if number % 15 == 0]
            means.append(np.stack([frame.to_ndarray(format="rgb24").mean((0, 1)) for frame in frames]))
    return {"path": batch["path"], "features": np.stack(means)}
videos = ray.data.read_parquet(f"{left}/manifest.parquet")
videos.map_batches(decode, batch_size=30).write_parquet(f"{left}/new")
seconds = time.monotonic() - start
ray.data.DataContext.get_current().checkpoint_config = None
print(ray.data.read_parquet(f"{left}/new").count(), seconds)
"""
DAFT = """
import os, sys, time
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
import daft, numpy as np
from daft import DataType, col
from daft.functions import video_file, video_frames
@daft.func.batch(return_dtype=DataType.list(DataType.float64()), batch_size=30)
def features(frames):
    return [np.asarray(frame).mean((0, 1)).tolist() for frame in frames.to_pylist()]
corpus, left = sys.argv[1], sys.argv[2]
start = time.monotonic()
videos = daft.from_glob_path(f"{corpus}/*.mp4").select("path")
done = daft.read_parquet(f"{left}/features").select("path").distinct()
new = videos.join(done, on="path", how="anti")
of_video = video_frames(video_file(col("path")), width=224, height=224, sample_interval_seconds=0.5)
frames = new.select("path", of_video.alias("frame")).explode("frame")
means = features(col("frame").get("data")).alias("features")
frames = frames.select("path", col("frame").get("frame_index").alias("frame_index"), means)
frames.write_parquet(f"{left}/new")
print(daft.read_parquet(f"{left}/new").count_rows() // 3, time.monotonic() - start)
"""


class Peer(NamedTuple):
    """A program, and what an earlier run of it leaves."""

    program: str
    leave: Callable[[Path, Path], None]


def leave_ledger(corpus: Path, left: Path) -> None:
    """Ours."""
    write_ledger(str(corpus), left)


def leave_checkpoint(corpus: Path, left: Path) -> None:
    """Ray Data's: the ids of what has been written."""
    ids = sorted(map(str, corpus.iterdir()))
    (left / "checkpoint").mkdir(parents=True)
    pq.write_table(pa.table({"path": ids}), left / "checkpoint" / "first.parquet")
    new = str(corpus / "new.mp4")
    pq.write_table(pa.table({"path": [*ids, new]}), left / "manifest.parquet")


def leave_features(corpus: Path, left: Path) -> None:
    """Daft's: what it has written, of which it reads the ids."""
    paths = [f"file://{path}" for path in sorted(corpus.iterdir()) for _ in range(FRAMES_PER_VIDEO)]
    vectors = np.random.default_rng(0).normal(size=(len(paths), FEATURE_DIM)).astype(np.float32)
    (left / "features").mkdir(parents=True)
    pq.write_table(pa.table({"path": paths, "features": list(vectors)}), left / "features" / "first.parquet")


PEERS = {
    "vbert": Peer(FEATURIZE, leave_ledger),
    "Ray Data, read_videos": Peer(CHECKPOINTS + READ_VIDEOS, leave_checkpoint),
    "Ray Data, a manifest": Peer(CHECKPOINTS + READ_MANIFEST, leave_checkpoint),
    "Daft, anti-join": Peer(DAFT, leave_features),
}


def compare_reruns(folder: Path, options: argparse.Namespace) -> None:
    """A line for each number of videos and each peer."""
    pythons = {"Daft, anti-join": environment(folder / "daft", ("daft", "av", "numpy", "pillow"))}
    original = folder / "video.mp4"
    encode(str(original), "H.264", height=360, seconds=SECONDS)
    print(f"videos of {SECONDS} s, {original.stat().st_size / 1e6:.2f} MB each, one of them new")
    print("| videos | | seconds | read, MB | peak memory, MB |\n|---|---|---|---|---|")
    for num_videos in options.among:
        for name, peer in PEERS.items():
            corpus, left = folder / "corpus", folder / "left"
            for place in (corpus, left):
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
            name_again(original, (corpus / f"{number:06}.mp4" for number in range(num_videos - 1)))
            peer.leave(corpus, left)
            shutil.copyfile(original, corpus / "new.mp4")
            command = [pythons.get(name, sys.executable), "-c", peer.program]
            places = [str(corpus), str(left), str(os.cpu_count() or 1)]
            with watched() as use:
                told = seconds_of([*command, *places])
            row = f"{told} | {use.read_megabytes:,.0f} | {use.peak_megabytes:,.0f}"
            print(f"| {num_videos:,} | {name} | {row} |", flush=True)


def seconds_of(command: list[str]) -> str:
    """What a rerun took, which must have found one new video; it and its processes are ended where it takes
    too long."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            said, _ = running.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return f"over {LIMIT_SECONDS}"
    assert running.returncode == 0, command
    num_new, seconds = map(float, said.split()[-2:])
    assert num_new == 1, f"{num_new} videos were new: {command}"
    return f"{seconds:.1f}"
