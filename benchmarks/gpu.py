"""Backbones on a GPU: clips a second from decoded frames to features, against what bounds them.

    python -m benchmarks.gpu

Bounds: the network alone in float16, on batches that lie on the GPU; and the network's operations at the rate
of a large float16 matrix product there. Ours takes frames in memory, a segment at a time: pinned copies,
colour conversion, normalisation and the way back included. S3D and ResNet-50 get random weights.
"""

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.features import backbones_with_weights, random_clips
from vbert.features.backbones import find_backbone
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.networks import load_trunk
from vbert.features.torch_featurizer import TorchFeaturizer
from vbert.training.optimization import matrix_product_flops

SECONDS_A_MEASUREMENT = 2.0
MATRIX_SIZE = 8192
CLIPS_PER_SEGMENT = 40  # a minute of clips of 1.5 s


def main() -> None:
    """Print the table."""
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu: torch sees no GPU here")
    torch.manual_seed(0)
    limit = matrix_product_flops(torch.device("cuda"), torch.float16, size=MATRIX_SIZE)
    print(f"{torch.cuda.get_device_name()}: {limit / 1e12:.0f} TFLOP/s in a float16 matrix product")
    print("| backbone | GFLOP a clip | arithmetic | network alone | ours, clips/s | of the network alone |")
    print("|---|---|---|---|---|---|")
    for config, _ in backbones_with_weights():
        print(compare(config, limit), flush=True)


def compare(config: FeaturizerConfig, limit: float) -> str:
    """A backbone's line."""
    featurizer = TorchFeaturizer(config, device="cuda")
    clips = random_clips(featurizer.spec, num_clips=CLIPS_PER_SEGMENT)
    ours = per_second(lambda: featurizer.extract(clips)) * len(clips)

    network = load_trunk(find_backbone(config.backbone, config.weights)).to("cuda", torch.float16)
    batch = featurizer.pixels(clips[: featurizer.batch_size]).half()

    @torch.inference_mode()
    def run_network() -> None:
        network(batch)
        torch.cuda.synchronize()

    alone = per_second(run_network) * len(batch)
    with FlopCounterMode(display=False) as counter:
        run_network()
    flops = counter.get_total_flops() / len(batch)
    return (
        f"| {config.backbone} | {flops / 1e9:.1f} | {limit / flops:,.0f} | {alone:,.0f} | {ours:,.0f} |"
        f" {ours / alone:.2f} |"
    )


def per_second(run: Callable[[], object]) -> float:
    """Calls a second, after three that warm up."""
    for _ in range(3):
        run()
    calls, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS_A_MEASUREMENT:
        run()
        calls += 1
    return calls / seconds


if __name__ == "__main__":
    main()
