"""What 1, 10 and 100 million videos cost, part by part, and which part a cluster waits for.

    python -m benchmarks.cluster_plan                                   # EfficientNet-Lite0 on 64 CPU nodes
    python -m benchmarks.cluster_plan --nodes 128 --gpus 64             # S3D on GPUs, decoding on all cores

A simulation: what a unit costs is measured here first, at small sizes (benchmarks/part_costs.py), or stands
in BENCHMARKS.md, whose line is named below; the rest is arithmetic. Draws docs/cluster-plan.svg.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.part_costs import (
    CLIPS_PER_SEGMENT,
    NUM_COMMITS,
    SEGMENTS_PER_FILE,
    Cost,
    measured,
)
from vbert.tables.schemas import COMMITS_A_CHECKPOINT

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "cluster-plan.svg"
SIZES = (1_000_000, 10_000_000, 100_000_000)
HOUR = 3600
GIGABYTE = 1e9

# A video: as long as the paper's are on average (23,186 h of 312,000), cut into segments of a minute.
SECONDS, CLIP_SECONDS, SEGMENTS = 267, 1.5, 5
CLIPS = SECONDS / CLIP_SECONDS
TOKENS = CLIPS + 450  # pretraining's, at most: each clip, and 45 sentences of ten word pieces
LATENCY = 0.030  # seconds, of a request to a bucket
NAMES_PER_LISTING, LISTED_AT_ONCE = 1000, 32  # S3's; listing.NUM_THREADS
BLOCK_BYTES = 8e6  # of a video, in one request
LOOK_BYTES = 0.3e6  # at a header (CHANGELOG.md)
ROWS_PER_SHARD, ROWS_PER_GROUP, RUN = 5_000, 64, 32  # segments, rows of Parquet, documents read together
COMMIT_SECONDS, COMMIT_REQUESTS = 20, 3  # each tenth takes two more
LEVEL_WIDTH = 8  # of compaction (clustering.MAX_DEPTH)

# BENCHMARKS.md: "On a GPU", the line s3d and that of pretraining; "Visual vocabulary", assign, ours.
GPU_CLIPS_PER_SECOND, TOKENS_PER_SECOND, ASSIGNED_PER_SECOND = 536, 309_665, 110_100
# By hand (Ray 2.60): what each of 3,000 materialized blocks takes in the driver.
RAY_BLOCK_BYTES = 12_000
VIDEOS_PER_PROBE = 64  # a block of plans
PLANNED_TOGETHER, BUILT_TOGETHER = 65_536, 2**20  # videos (spilling.ROWS_PER_PART, build_documents)
DOCUMENTS_PER_FILE = 131_072  # whose ids pretraining looks at together (schemas.DOCUMENTS)
SMALL_FILES = 2 * 1_024  # joining.MAX_SMALL_FILES, and as many that come while these are joined


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is rented, beside the head that the driver runs on."""

    nodes: int
    cores_per_node: int
    gpus: int

    def workers(self, where: str) -> int:
        """How many share a part's hours."""
        return {"driver": 1, "cores": self.nodes * self.cores_per_node, "GPUs": self.gpus}[where]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a part of the job costs at a size."""

    name: str
    grows: str
    where: str
    """driver | cores | GPUs: whose hours."""
    hours: float
    """Of one of them."""
    requests: float = 0.0
    gigabytes: float = 0.0
    """Between the cluster and the store."""
    driver_gigabytes: float = 0.0

    def wall_hours(self, cluster: Cluster) -> float:
        """On all that the cluster has of them."""
        return self.hours / cluster.workers(self.where)


def parts_of(num_videos: int, costs: Mapping[str, Cost], cluster: Cluster) -> list[Part]:
    """Every part, in the order of the data. `costs` are by the names of `part_costs.SIZES`."""
    segments, clips = num_videos * SEGMENTS, num_videos * CLIPS
    listings = math.ceil(num_videos / NAMES_PER_LISTING)
    shards = math.ceil(segments / ROWS_PER_SHARD)
    files = math.ceil(segments / SEGMENTS_PER_FILE)
    file_bytes = costs["join"].made_bytes.slope
    features_gigabytes = clips * file_bytes / (SEGMENTS_PER_FILE * CLIPS_PER_SEGMENT) / GIGABYTE
    video_bytes = SECONDS * costs["decode"].made_bytes.slope
    document_bytes = costs["documents"].made_bytes.slope
    decoding = Part(
        name="decode",
        grows="linear",
        where="cores",
        hours=num_videos * SECONDS * costs["decode"].seconds.slope / HOUR,
        requests=num_videos * math.ceil(video_bytes / BLOCK_BYTES),
        gigabytes=num_videos * video_bytes / GIGABYTE,
    )
    clip_seconds = 1 / GPU_CLIPS_PER_SECOND if cluster.gpus else costs["backbone"].seconds.slope
    backbone = Part(
        name="features",
        grows="linear",
        where="GPUs" if cluster.gpus else "cores",
        hours=clips * clip_seconds / HOUR,
        requests=files,
        gigabytes=features_gigabytes,
    )
    working_hours = [part.wall_hours(cluster) for part in (decoding, backbone)]
    featurizing_hours = max(working_hours) if cluster.gpus else sum(working_hours)
    return [
        Part(
            name="list, compare",
            grows="linear",
            where="driver",
            hours=(costs["compare"].seconds.at(num_videos) + listings * LATENCY / LISTED_AT_ONCE) / HOUR,
            requests=listings,
            # What is more than DuckDB's 256 MB lies on disk: the largest size that was measured has it.
            driver_gigabytes=costs["compare"].memory_bytes.at(min(num_videos, 200_000)) / GIGABYTE,
        ),
        Part(
            name="probe, plan",
            grows="linear",
            where="cores",
            hours=num_videos * costs["probe"].seconds.slope / HOUR,
            requests=2 * num_videos,
            driver_gigabytes=min(num_videos, PLANNED_TOGETHER)
            / VIDEOS_PER_PROBE
            * RAY_BLOCK_BYTES
            / GIGABYTE,
            gigabytes=num_videos * LOOK_BYTES / GIGABYTE,
        ),
        decoding,
        backbone,
        committing(shards, featurizing_hours, costs),
        Part(
            name="compaction",
            grows="N log N",
            where="cores",
            hours=files * costs["join"].seconds.slope * levels(shards) / HOUR,
            requests=2 * files + 2 * shards * (levels(shards) - 1),
            gigabytes=2 * features_gigabytes * levels(shards),
        ),
        Part(
            name="documents",
            grows="linear",
            where="cores",
            hours=(clips / ASSIGNED_PER_SECOND + num_videos * costs["documents"].seconds.slope) / HOUR,
            requests=2 * segments / ROWS_PER_GROUP,
            gigabytes=features_gigabytes + num_videos * document_bytes / GIGABYTE,
            driver_gigabytes=costs["videos held"].memory_bytes.at(min(num_videos, BUILT_TOGETHER)) / GIGABYTE,
        ),
        Part(
            name="pretraining's reads",
            grows="linear",
            where="driver",
            hours=(costs["order"].seconds.at(num_videos) + costs["choose"].seconds.at(num_videos)) / HOUR,
            requests=2 * num_videos / RUN,
            gigabytes=num_videos * document_bytes * ROWS_PER_GROUP / RUN / GIGABYTE,
            driver_gigabytes=(
                costs["order"].memory_bytes.at(num_videos)
                + costs["choose"].memory_bytes.at(min(num_videos, DOCUMENTS_PER_FILE))
            )
            / GIGABYTE,
        ),
    ]


def committing(shards: int, featurizing_hours: float, costs: Mapping[str, Cost]) -> Part:
    """A commit each COMMIT_SECONDS, which takes the longer the more files the table names: shards, half of
    them on average, and small files."""
    each, checkpoint = costs["commit"], costs["checkpoint"].seconds
    mean = shards / 2 + SMALL_FILES
    features_seconds = each.seconds.at(mean) / NUM_COMMITS + checkpoint.at(mean) / COMMITS_A_CHECKPOINT
    ledger_seconds = each.seconds.fixed / NUM_COMMITS  # which has few files
    seconds = features_seconds + ledger_seconds + 2 * COMMIT_REQUESTS * LATENCY
    commits = math.ceil(featurizing_hours * HOUR / max(COMMIT_SECONDS, seconds))
    return Part(
        name="commits",
        grows="commits x shards",
        where="driver",
        hours=commits * seconds / HOUR,
        requests=2 * commits * COMMIT_REQUESTS,
        driver_gigabytes=each.memory_bytes.at(shards + SMALL_FILES) / GIGABYTE,
    )


def levels(shards: int) -> float:
    """How often compaction writes a row, at most: once a level."""
    return max(1.0, math.log(shards, LEVEL_WIDTH)) if shards > 1 else 1.0


def pretraining_gpu_hours(num_videos: int) -> float:
    """Of an epoch of BERT-base's sizes."""
    return num_videos * TOKENS / TOKENS_PER_SECOND / HOUR


def bottleneck(parts: Sequence[Part], cluster: Cluster) -> Part:
    """The part that takes the longest there."""
    return max(parts, key=lambda part: part.wall_hours(cluster))


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--cores-per-node", type=int, default=32)
    parser.add_argument(
        "--gpus", type=int, default=0, help="of the whole cluster; 0: EfficientNet-Lite0 on CPUs"
    )
    cluster = Cluster(**vars(parser.parse_args()))
    costs = measured()
    plans = {size: parts_of(size, costs, cluster) for size in SIZES}
    print_plans(plans, cluster)
    draw(plans, cluster)
    print(f"\ndrawn to {PICTURE.relative_to(ROOT)}")


def print_plans(plans: Mapping[int, Sequence[Part]], cluster: Cluster) -> None:
    """A line a part, its figures for all sizes, and what the cluster waits for."""
    sizes = " / ".join(f"{size / 1e6:g}" for size in plans)
    gpus = f", {cluster.gpus} GPUs" if cluster.gpus else ""
    print(f"\n{cluster.nodes} nodes of {cluster.cores_per_node} cores{gpus}; {sizes} million videos\n")
    print("| part | grows | hours | requests, M | GB | GB in the driver | hours there |")
    print("|---|---|---|---|---|---|---|")
    for same in zip(*plans.values(), strict=True):
        first = same[0]
        cells = [
            f"{figures([part.hours for part in same])} of {first.where}",
            figures([part.requests / 1e6 for part in same]),
            figures([part.gigabytes for part in same]),
            figures([part.driver_gigabytes for part in same]),
            figures([part.wall_hours(cluster) for part in same]),
        ]
        print(f"| {first.name} | {first.grows} | {' | '.join(cells)} |")
    print()
    for size, parts in plans.items():
        slowest = bottleneck(parts, cluster)
        print(
            f"{size / 1e6:g} million: {slowest.name}, {slowest.wall_hours(cluster):,.1f} h there; the driver "
            f"has {max(part.driver_gigabytes for part in parts):,.1f} GB at most; an epoch of pretraining "
            f"takes {pretraining_gpu_hours(size):,.1f} GPU-hours"
        )


def figures(values: Sequence[float]) -> str:
    """For all sizes, two digits of each; -: nothing."""
    return " / ".join(f"{float(f'{value:.2g}'):,g}" for value in values) if any(values) else "-"


def draw(plans: Mapping[int, Sequence[Part]], cluster: Cluster) -> None:
    """Hours on the cluster, and the driver's memory, by the number of videos."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "vbert"  # the same figures make the same file
    import matplotlib.pyplot as plt

    figure, (hours, memory) = plt.subplots(1, 2, figsize=(11, 4.5))
    for same in zip(*plans.values(), strict=True):
        hours.loglog(list(plans), [part.wall_hours(cluster) for part in same], "o-", label=same[0].name)
        if same[0].driver_gigabytes:
            held = [part.driver_gigabytes for part in same]
            memory.loglog(list(plans), held, "o-", label=same[0].name)
    gpus = f", {cluster.gpus} GPUs" if cluster.gpus else ""
    hours.set_title(f"hours on {cluster.nodes} nodes of {cluster.cores_per_node} cores{gpus}")
    memory.set_title("GB in the driver")
    for axis in (hours, memory):
        axis.set_xlabel("videos")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
