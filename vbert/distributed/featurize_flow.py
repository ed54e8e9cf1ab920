"""How segments get to the workers that featurize them, and what became of them back to the driver."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.distributed.actors import Block
from vbert.distributed.actors import outcomes as outcomes_of_blocks
from vbert.distributed.attempts import actor_retries, retries_of, task_retries
from vbert.distributed.backbone import Prepared
from vbert.distributed.cluster import blocks_as_they_come, connect, quiet_data
from vbert.distributed.featurize_plan import PROBE_CPUS, Segments
from vbert.distributed.featurize_worker import FeaturizeSegments, decode_in_child
from vbert.distributed.resources import count_cpus, count_gpus
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.segment_rows import decoded_bytes
from vbert.video.decode import NVDEC
from vbert.video.decode_child import DecodeLimits

if TYPE_CHECKING:
    import ray.data

# Blocks are what actors take: small enough that four a worker balance, large enough that a file is worth it.
BLOCKS_PER_WORKER = 4
MAX_SEGMENTS_PER_FILE = 16
# An actor takes a second of a CPU to start, in which one that is there takes 20 clips through the smallest
# backbone: 1 / 0.051, as two cores take 39 a second (BENCHMARKS.md).
CLIPS_WORTH_AN_ACTOR = 20
DECODED_BYTES_PER_FILE = 256 * 2**20  # of frames that wait in a GPU's actor for a file to be whole


def count_segments(segments: pa.Table) -> int:
    """How many these rows of SEGMENTS stand for."""
    return int(pc.sum(segments["num_segments_here"]).as_py() or 0)


def outcomes(
    segments: Segments,
    *,
    num_videos: int,
    tables: str,
    config: FeaturizerConfig,
    limits: DecodeLimits,
    prepared: Prepared,
    gpus: str,
    num_actors: tuple[int, int] | None,
    gpus_per_worker: float,
    compiled: bool,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of SEGMENTS, those of `num_videos` -> rows of OUTCOMES, those of a block together, as they come.

    Without GPUs a CPU's actor decodes and featurizes, and no frame leaves it. With GPUs the CPUs of all nodes
    decode ahead of the GPUs' actors; how far ahead is for Ray Data to say, which keeps to the object store's
    limit. With decoder nvdec a GPU's actor has the GPU decode, too.

    The actors are none of Ray Data's: those end with the part of a corpus that they were started for, and of
    each block that they have done it keeps a kilobyte until then.
    """
    num_gpus = count_gpus(gpus)
    fitting = int(num_gpus / gpus_per_worker) if num_gpus else count_cpus()
    if isinstance(segments, pa.Table):
        fitting = min(fitting, actors_worth_starting(segments))
    least, most = num_actors or (fitting, fitting)
    blocks: Iterator[Block]
    if num_gpus and config.decoder != NVDEC:
        num_segments = count_segments(segments) if isinstance(segments, pa.Table) else num_videos
        at_once = max(1, DECODED_BYTES_PER_FILE // decoded_bytes(config))
        size = min(rows_per_block(num_segments, most), at_once)
        blocks = _decoded(segments, size, config, limits)
    else:
        blocks = _cut(segments, num_videos=num_videos, num_actors=most)
    found = outcomes_of_blocks(
        FeaturizeSegments,
        blocks,
        num_actors=(least, most),
        blocks_per_actor=2 if num_gpus else 1,  # the next one's frames come while it works on one
        arguments={
            "tables": tables,
            "config": config,
            "limits": limits,
            "prepared": prepared,
            "compiled": compiled,
        },
        options={
            "num_cpus": 1 - PROBE_CPUS,
            "num_gpus": gpus_per_worker if num_gpus else 0,
            **actor_retries(retries_of(MAX_SEGMENTS_PER_FILE)),
        },
    )
    return (block.to_pylist() for block in found)


def actors_worth_starting(segments: pa.Table) -> int:
    """For so few clips that one would be done before others have started, one."""
    num_clips = pc.sum(segments["num_planned_clips"]).as_py() or 0
    return math.ceil(max(1, num_clips) / CLIPS_WORTH_AN_ACTOR)


def rows_per_block(num_segments: float, num_actors: int) -> int:
    """So many that all actors have some, and an actor's last one keeps none of the others waiting."""
    return max(1, min(MAX_SEGMENTS_PER_FILE, math.ceil(num_segments / (BLOCKS_PER_WORKER * num_actors))))


def _cut(segments: Segments, *, num_videos: int, num_actors: int) -> Iterator[pa.Table]:
    """Blocks for actors that decode; how many segments there will be in all, those that are planned tell."""
    for planned in _tables(segments):
        num_segments = count_segments(planned) / pc.count_distinct(planned["video_id"]).as_py() * num_videos
        size = rows_per_block(num_segments, num_actors)
        yield from (planned.slice(at, size) for at in range(0, planned.num_rows, size))


def _tables(segments: Segments) -> Iterator[pa.Table]:
    if isinstance(segments, pa.Table):
        yield segments
        return
    for part in segments:
        yield from blocks_as_they_come(part)


def _decoded(
    segments: Segments, size: int, config: FeaturizerConfig, limits: DecodeLimits
) -> Iterator[Block]:
    """Blocks for GPUs, of `size` segments that are decoded when they come, or some more."""
    connect()
    quiet_data()
    parts: Iterable[ray.data.Dataset]
    parts = [ray.data.from_arrow(segments)] if isinstance(segments, pa.Table) else segments
    before = None  # what goes away with a node is made again from its part
    for part in parts:
        decoded = part.repartition(target_num_rows_per_block=size).map_batches(
            partial(decode_in_child, config=config, limits=limits),
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=1,
            **task_retries(retries_of(MAX_SEGMENTS_PER_FILE)),
        )
        decoded.set_name("vbert_decode")  # the dashboard's
        pieces: list[ray.ObjectRef[pa.Table]] = []
        num_rows = 0
        for bundle in decoded.iter_internal_ref_bundles():
            pieces += bundle.block_refs
            num_rows += bundle.num_rows() or 0
            if num_rows >= size:
                yield pieces
                pieces, num_rows = [], 0
        if pieces:
            yield pieces
        before = decoded
    del before
