"""The part of benchmarks/gpu.py from videos to features; wants PyAV and torchvision, for NVDEC torchcodec.

Backbones: a network alone in float16, ours from frames to features, and both compiled. Decoding: PyAV on one
core against NVDEC, and how far apart their pictures are. Fed: decoders in processes of their own ahead of the
GPU, as in the job but without Ray, and how long the backbone waits for them.
"""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_results import Results, per_second, synchronize

if TYPE_CHECKING:  # they import PyAV, which a machine for training may lack
    from vbert.features.featurizer_config import FeaturizerConfig
    from vbert.features.torch_featurizer import TorchFeaturizer
    from vbert.video.media import Segment

FPS, HEIGHT, WIDTH = 30, 360, 640
# Of 255, the mean over a picture: NVDEC's chain scales RGB bilinearly, PyAV's YCbCr bicubically.
MOST_DIFFERENCE = 8.0


@dataclass(frozen=True, kw_only=True)
class FeatureSizes:
    """How much is featurized."""

    seconds: float
    """Of the measurement of a network."""
    clips: int
    """Of one call."""
    video_seconds: int
    segments_per_decoder: int
    num_backbones: int


def measure_features(sizes: FeatureSizes, device: torch.device, results: Results) -> None:
    """A line for each backbone alone and fed, and for each decoder."""
    with results.part(featurize="all") as is_on, tempfile.TemporaryDirectory() as folder:
        if not is_on:
            return
        from benchmarks.features import CLIPS_PER_ROUND, backbones_with_weights

        video = render(Path(folder, "video.mp4"), seconds=sizes.video_seconds)
        compare_decoders(video, sizes, device, results)
        for config, _ in backbones_with_weights():
            for line, measure in (("featurize", backbone_speeds), ("fed", fed_speed)):
                with results.part(**{line: config.backbone}) as is_next:
                    if is_next:
                        results.add(**{line: config.backbone}, **measure(config, sizes, device, video))
            if list(CLIPS_PER_ROUND).index(config.backbone) + 1 == sizes.num_backbones:
                return


def render(path: Path, *, seconds: int) -> str:
    """Write H.264 of stripes that move, with noise; its path."""
    import av

    chance = np.random.default_rng(0)
    noise = chance.integers(0, 32, (HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(seconds * FPS):
            stripes = ((np.arange(WIDTH) + 3 * number) // 40 % 2 * 160).astype(np.uint8)
            picture = stripes[None, :, None] + np.roll(noise, number, axis=0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return str(path)


def compare_decoders(video: str, sizes: FeatureSizes, device: torch.device, results: Results) -> None:
    """Clips a second of each in a process of its own, as the job has it; NVDEC's pictures against PyAV's."""
    from vbert.features.featurizer_config import FeaturizerConfig
    from vbert.features.torch_featurizer import TorchFeaturizer
    from vbert.video.decode import Decoder
    from vbert.video.decode_child import DecodeLimits
    from vbert.video.isolation import DecoderProcess

    featurizer = TorchFeaturizer(FeaturizerConfig(), device=device.type)
    segment, process = whole(video, featurizer), DecoderProcess(DecodeLimits())
    pictures: dict[Decoder, Tensor] = {}
    decoders: tuple[Decoder, ...] = ("pyav", "nvdec")
    for decoder in decoders:
        with results.part(decode=decoder) as is_on:
            if not is_on:
                continue
            for _ in range(2):  # the first starts the process, and the decoder in it
                before = time.perf_counter()
                clips = list(process.decode_clips(video, segment, featurizer.spec, decoder=decoder))
                seconds = time.perf_counter() - before
            pictures[decoder] = featurizer.pixels(clips).cpu()
            line = {"decode": decoder, "clips_per_second": round(len(clips) / seconds, 1)}
            if decoder != "pyav":  # pixels are (x - 127) / 128
                difference = 128 * float((pictures[decoder] - pictures["pyav"]).abs().mean())
                line["difference"] = round(difference, 2)
                if difference > MOST_DIFFERENCE:
                    raise ValueError(f"too far from PyAV's pictures: {line}")
            results.add(**line)
    process.close()


def backbone_speeds(
    config: "FeaturizerConfig", sizes: FeatureSizes, device: torch.device, _: str
) -> dict[str, float]:
    """Clips a second: the network alone, ours from frames to features, both compiled."""
    from benchmarks.features import random_clips
    from vbert.features.torch_featurizer import TorchFeaturizer

    speeds: dict[str, float] = {}
    for suffix in ("", "_compiled"):
        torch.compiler.reset()
        featurizer = TorchFeaturizer(config, device=device.type, compiled=bool(suffix))
        clips = random_clips(featurizer.spec, num_clips=sizes.clips)
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        batch = featurizer.pixels(clips[: featurizer.batch_size]).to(dtype)
        run = alone(featurizer.trunk, batch, device)
        speeds[f"network{suffix}"] = per_second(run, seconds=sizes.seconds) * len(batch)
        ours = per_second(lambda: featurizer.extract(clips), seconds=sizes.seconds)  # noqa: B023 (called here)
        speeds[f"ours{suffix}"] = ours * len(clips)
    return {name: round(speed, 1) for name, speed in speeds.items()}


def alone(trunk: Callable[[Tensor], Tensor], batch: Tensor, device: torch.device) -> Callable[[], None]:
    """The network over a batch that is on the device."""

    @torch.inference_mode()
    def run() -> None:
        trunk(batch)
        synchronize(device)

    return run


def fed_speed(
    config: "FeaturizerConfig", sizes: FeatureSizes, device: torch.device, video: str
) -> dict[str, float]:
    """Clips a second from the file on, and the backbone's share of waiting: one segment under way on the
    device while the next is awaited, as `segment_rows` has it."""
    from vbert.features.torch_featurizer import TorchFeaturizer
    from vbert.video.decode_child import DecodeLimits
    from vbert.video.isolation import DecoderProcess

    num_decoders = max(1, (os.cpu_count() or 2) - 1)
    featurizer = TorchFeaturizer(config, device=device.type)
    segment = whole(video, featurizer)
    idle: SimpleQueue[DecoderProcess] = SimpleQueue()
    for _ in range(num_decoders):
        idle.put(DecoderProcess(DecodeLimits()))

    def decode(_: int) -> list[Any]:
        process = idle.get()
        clips = list(process.decode_clips(video, segment, featurizer.spec))
        idle.put(process)
        return clips

    with ThreadPoolExecutor(num_decoders) as threads:
        first, *_ = threads.map(decode, range(num_decoders))  # starts each
        featurizer.extract(first)
        under_way: deque[Callable[[], object]] = deque()
        num_clips, waited, start = 0, 0.0, time.perf_counter()
        ahead = threads.map(decode, range(num_decoders * sizes.segments_per_decoder))
        while True:
            asked = time.perf_counter()
            clips = next(ahead, None)
            waited += time.perf_counter() - asked
            if clips is None:
                break
            num_clips += len(clips)
            under_way.append(featurizer.start(clips))
            if len(under_way) > 1:
                under_way.popleft()()
        while under_way:
            under_way.popleft()()
        seconds = time.perf_counter() - start
    while not idle.empty():
        idle.get().close()
    speed = {"decoders": num_decoders, "clips_per_second": round(num_clips / seconds, 1)}
    return speed | {"backbone_wait_share": round(waited / seconds, 3)}


def whole(video: str, featurizer: "TorchFeaturizer") -> "Segment":
    """The video as one segment."""
    from vbert.video.media import plan_segments, probe_video

    duration = probe_video(video).duration_seconds
    clip_seconds = featurizer.spec.clip_seconds
    (segment,) = plan_segments(duration, clip_seconds=clip_seconds, segment_seconds=duration)
    return segment
