"""How segments get to the workers that featurize them, and what became of them back to the driver."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Union, cast

import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.distributed.actors import outcomes as outcomes_of_blocks
from vbert.distributed.attempts import actor_retries, retries_of, task_retries
from vbert.distributed.backbone import Prepared
from vbert.distributed.cluster import actor_pool, connect, rows_as_they_come
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
DECODED_BYTES_PER_FILE = 256 * 2**20  # of frames that wait in a GPU's actor for a file to be whole
FEW_SEGMENTS = 32  # of a minute at most: done in seconds, which is what Ray Data takes to start

# In this process where they are few, or in the object store of the cluster.
Segments = Union[pa.Table, "ray.data.Dataset"]


def count_segments(segments: Segments) -> int:
    """How many there are."""
    if isinstance(segments, pa.Table):
        return int(pc.sum(segments["num_segments_here"]).as_py() or 0)
    return int(cast("int | None", segments.sum("num_segments_here")) or 0)


def outcomes(
    segments: Segments,
    *,
    tables: str,
    config: FeaturizerConfig,
    limits: DecodeLimits,
    prepared: Prepared,
    gpus: str,
    num_actors: tuple[int, int] | None,
    gpus_per_worker: float,
    compiled: bool,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of SEGMENTS -> rows of OUTCOMES, those of a block together, as they come.

    Without GPUs a CPU's actor decodes and featurizes, and no frame leaves it. With GPUs the CPUs of all nodes
    decode ahead of the GPUs' actors; how far ahead is for Ray Data to say, which keeps to the object store's
    limit. With decoder nvdec a GPU's actor has the GPU decode, too. `num_actors` is the least and the most.
    """
    num_gpus, num_segments = count_gpus(gpus), count_segments(segments)
    fitting = int(num_gpus / gpus_per_worker) if num_gpus else count_cpus()
    least, most = (min(size, num_segments) for size in num_actors or (fitting, fitting))
    rows_per_block = min(MAX_SEGMENTS_PER_FILE, -(-num_segments // (BLOCKS_PER_WORKER * most)))
    arguments = {
        "tables": tables,
        "config": config,
        "limits": limits,
        "prepared": prepared,
        "compiled": compiled,
    }
    if isinstance(segments, pa.Table):
        if not num_gpus and num_segments <= FEW_SEGMENTS:
            blocks = [
                segments.slice(at, rows_per_block) for at in range(0, segments.num_rows, rows_per_block)
            ]
            options = {"num_cpus": 1, **actor_retries(retries_of(rows_per_block))}
            return _rows_of(
                outcomes_of_blocks(
                    FeaturizeSegments, blocks, num_actors=most, arguments=arguments, options=options
                )
            )
        connect()
        segments = ray.data.from_arrow(segments)
    # Cut into blocks before the actors take every CPU: a task of this pipeline would wait for one for ever.
    rows = segments.repartition(target_num_rows_per_block=rows_per_block).materialize()
    if num_gpus and config.decoder != NVDEC:
        rows_per_block = max(1, min(rows_per_block, DECODED_BYTES_PER_FILE // decoded_bytes(config)))
        rows = rows.map_batches(
            decode_in_child,
            fn_kwargs={"config": config, "limits": limits},
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=1,
            **task_retries(retries_of(MAX_SEGMENTS_PER_FILE)),
        )
    featurized: ray.data.Dataset = rows.map_batches(
        FeaturizeSegments,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=rows_per_block,
        compute=actor_pool(least, most),
        num_cpus=1,
        num_gpus=gpus_per_worker if num_gpus else 0,
        **actor_retries(retries_of(rows_per_block)),
    )
    featurized.set_name("vbert_featurize")  # the dashboard's, which shows the stages of each
    return rows_as_they_come(featurized)


def _rows_of(blocks: Iterable[pa.Table]) -> Iterator[list[dict[str, Any]]]:
    for block in blocks:
        yield block.to_pylist()
