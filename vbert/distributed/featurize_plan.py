"""Which segments there are to featurize: pending videos are probed, a part of the corpus after the other.

A part is probed when its segments are asked for, so that neither this process nor the cluster holds the
plan of more than one, however many videos are new.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.corpus.changes import CorpusChanges
from vbert.distributed.attempts import task_retries
from vbert.distributed.cluster import connect, quiet_data
from vbert.distributed.resources import count_cpus
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.ledger import Ledger
from vbert.features.planning import plan_videos
from vbert.video.decode_child import DecodeLimits

if TYPE_CHECKING:
    import ray.data

VIDEOS_PER_PROBE = 64  # one task: 64 headers, 16 at a time
CPUS_PER_PROBE = 4  # a video's header takes a thousandth of the time that its frames do
# Of a task that probes. Actors leave it free: when they hold all CPUs, the next part can still be probed.
PROBE_CPUS = 0.01

# Rows of SEGMENTS: in this process where they are few, else parts that the cluster makes when they are read.
Segments: TypeAlias = "pa.Table | Iterator[ray.data.Dataset]"


def plan(
    changes: CorpusChanges, ledger: Ledger, *, config: FeaturizerConfig, limits: DecodeLimits
) -> Segments:
    """Join or start the cluster, and plan the pending videos' segments.

    What one task would do, this process does while Ray starts.
    """
    options: dict[str, Any] = {
        "featurizer": ledger.featurizer,
        "clip_seconds": config.clip_seconds,
        "segment_seconds": config.segment_seconds,
        "limits": limits,
    }
    if changes.num_pending <= VIDEOS_PER_PROBE:
        (videos,) = changes.pending()
        done = ledger.done_segments(videos["video_id"].to_pylist())
        with ThreadPoolExecutor(max_workers=1) as beside:
            probing = beside.submit(plan_videos, videos, done, **options)
            connect()
            return probing.result()
    connect()
    quiet_data()
    return _planned_parts(changes, ledger, options)


def _planned_parts(
    changes: CorpusChanges, ledger: Ledger, options: dict[str, Any]
) -> Iterator["ray.data.Dataset"]:
    for videos in changes.pending():
        yield _planned(videos, ledger.done_segments(videos["video_id"].to_pylist()), options)


def _planned(videos: pa.Table, done: pa.Table, options: dict[str, Any]) -> "ray.data.Dataset":
    part = ray.put((videos.combine_chunks(), done))

    def plan_batch(numbers: pa.Table) -> pa.Table:
        """Of some videos by the number of the first."""
        every, committed = ray.get(part)
        (first,) = numbers["item"].to_pylist()
        mine = every.slice(first, VIDEOS_PER_PROBE)
        return plan_videos(
            mine,
            committed.filter(pc.is_in(committed["video_id"], mine["video_id"].combine_chunks())),
            **options,
        )

    firsts = list(range(0, videos.num_rows, VIDEOS_PER_PROBE))
    # Tables in place of numbers would be counted by tasks that ask for a CPU, which the actors have.
    planned = ray.data.from_items(firsts, override_num_blocks=len(firsts)).map_batches(
        plan_batch,
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.TaskPoolStrategy(size=max(2, count_cpus() // CPUS_PER_PROBE)),
        num_cpus=PROBE_CPUS,
        **task_retries(),
    )
    planned.set_name("vbert_probe")  # the dashboard's, which shows the stages of each
    return planned
