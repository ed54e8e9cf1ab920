"""Against what users would pick instead, as its documentation has it: decoders, Ray Data, Daft.

    python -m benchmarks.peers decode    # CPU seconds by codec and size; floor: ffmpeg that decodes and drops
    python -m benchmarks.peers job       # videos -> features on all cores, against read_videos and Daft
    python -m benchmarks.peers rerun     # one new video among many, against checkpoints and an anti-join

Same files and one thread for all decoders, 20 frames a second of 224x224 from each. A peer is installed into
an environment of its own (uv, from the package index), beside which only its loop below runs.
"""

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decode import FLOOR, measure, run
from benchmarks.peer_jobs import compare_jobs
from benchmarks.peer_reruns import compare_reruns
from benchmarks.prepared import ENCODERS, encode, environment

OURS = "pyav"

DECORD = """
import sys, resource
import numpy as np
from decord import VideoReader, cpu
before = resource.getrusage(resource.RUSAGE_SELF)
reader = VideoReader(sys.argv[1], ctx=cpu(0), width=224, height=224, num_threads=1)
wanted = np.arange(0, len(reader), reader.get_avg_fps() / 20).astype(int)
frames = sum(len(reader.get_batch(wanted[at : at + 30]).asnumpy()) for at in range(0, len(wanted), 30))
print(before.ru_utime + before.ru_stime, frames // 30)
"""
TORCHCODEC = """
import sys, resource
import torch
from torchcodec.decoders import VideoDecoder
from torchvision.transforms.v2.functional import resize
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF)
decoder = VideoDecoder(sys.argv[1], num_ffmpeg_threads=1)
seconds = torch.arange(0, decoder.metadata.duration_seconds - 0.05, 0.05)
frames = 0
for at in range(0, len(seconds), 30):
    frames += len(resize(decoder.get_frames_played_at(seconds[at : at + 30]).data, [224, 224]))
print(before.ru_utime + before.ru_stime, frames // 30)
"""
OPENCV = """
import sys, resource
import cv2
cv2.setNumThreads(1)
before = resource.getrusage(resource.RUSAGE_SELF)
video = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
rate, number, frames = video.get(cv2.CAP_PROP_FPS), 0, 0
while video.grab():
    if number * 20 // rate > (number - 1) * 20 // rate:
        _, picture = video.retrieve()
        cv2.cvtColor(cv2.resize(picture, (224, 224)), cv2.COLOR_BGR2RGB)
        frames += 1
    number += 1
print(before.ru_utime + before.ru_stime, frames // 30)
"""


@dataclass(frozen=True)
class Peer:
    """A package, and its loop."""

    packages: tuple[str, ...]
    loop: str


PEERS = {
    "decord": Peer(("decord", "numpy<2.3"), DECORD),
    "torchcodec": Peer(("torchcodec", "torch", "torchvision", "numpy"), TORCHCODEC),
    "OpenCV": Peer(("opencv-python-headless",), OPENCV),
}


def main() -> None:
    """Print the table of one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=COMPARISONS)
    parser.add_argument("--seconds", type=int, default=60, help="decode: of each file")
    parser.add_argument("--heights", type=int, nargs="+", default=[360, 720], help="decode: of the files")
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--num-videos", type=int, default=16, help="job: 360p H.264")
    parser.add_argument("--minutes", type=int, default=3, help="job: of each video")
    parser.add_argument("--among", type=int, nargs="+", default=[100, 1000], help="rerun: videos")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; the least of each counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        COMPARISONS[options.what](Path(folder), options)


def compare_decoders(folder: Path, options: argparse.Namespace) -> None:
    """A line a file: CPU seconds of the floor, and of each decoder as a multiple."""
    pythons = {name: environment(folder / name, peer.packages) for name, peer in PEERS.items()}
    names = [OURS, *PEERS]
    print(f"| file | {FLOOR}, CPU s | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
    for codec in options.codecs:
        for height in options.heights:
            path = str(folder / f"{codec}-{height}.mkv")
            encode(path, codec, height=height, seconds=options.seconds)
            used: dict[str, list[float]] = {name: [] for name in (FLOOR, *names)}
            for _ in range(options.repeats):
                used[FLOOR].append(run(FLOOR, path).cpu_seconds)
                used[OURS].append(run(OURS, path).cpu_seconds)
                for name, python in pythons.items():
                    used[name].append(peer_cpu_seconds(python, PEERS[name].loop, path))
            floor = min(used[FLOOR])
            ratios = " | ".join(f"{min(used[name]) / floor:.2f}".replace("nan", "-") for name in names)
            print(f"| {codec}, {height}p | {floor:.2f} | {ratios} |", flush=True)


def peer_cpu_seconds(python: str, loop: str, path: str) -> float:
    """Without starting Python and importing; NaN where the peer has no decoder for the file."""
    used = measure([python, "-c", loop, path], stderr=subprocess.DEVNULL)
    return used.cpu_seconds if used and used.num_clips else float("nan")


COMPARISONS = {"decode": compare_decoders, "job": compare_jobs, "rerun": compare_reruns}

if __name__ == "__main__":
    main()
