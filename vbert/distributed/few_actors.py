"""Blocks of work on actors, without Ray Data: for runs that are over in less time than that takes to start.

Ray Data brings actors of its own (statistics, autoscaling) and tasks that cut and count blocks, each in a new
process, and imports pandas: 13 s of a run of 19 on two slow cores, for four videos of 6 s.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import ray


def outcomes_of_few(kind: type[Any], blocks: Iterable[pa.Table], **how: Any) -> Iterator[pa.Table]:
    """What `kind` makes of each block, as it comes; `how` is as `outcome_refs` takes it."""
    for ref in outcome_refs(kind, blocks, **how):
        outcome: pa.Table = ray.get(ref)
        yield outcome


def outcome_refs(
    kind: type[Any],
    blocks: Iterable[pa.Table],
    *,
    num_actors: int,
    arguments: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Iterator["ray.ObjectRef[pa.Table]"]:
    """Where that lies which `kind(**arguments)`, a class for Ray Data's `map_batches`, makes of each block.

    An actor gets its first block when it is up, so that one that no node has room for keeps none waiting.
    `options` are those of Ray's actors: resources, and how often work is done again.
    """
    few: Any = Few
    actors = [few.options(**options).remote(kind, arguments) for _ in range(num_actors)]
    waiting = deque(blocks)
    starting: dict[Any, Any] = {actor.is_up.remote(): actor for actor in actors}
    working: dict[Any, Any] = {}
    while waiting or working:
        (ref,), _ = ray.wait([*working, *starting], num_returns=1)
        if ref in working:
            actor = working.pop(ref)
            yield ref
        else:
            actor = starting.pop(ref)
            ray.get(ref)  # its constructor's error
        if waiting:
            working[actor.work.remote(waiting.popleft())] = actor


@ray.remote
class Few:
    """An actor of what Ray Data would call. Its arguments come in one mapping: of others Ray would fetch
    those that are references."""

    def __init__(self, kind: type[Any], arguments: Mapping[str, Any]) -> None:
        self.worker = kind(**arguments)

    def is_up(self) -> bool:
        """Once it is."""
        return True

    def work(self, block: pa.Table) -> pa.Table:
        """All that it makes of a block."""
        return pa.concat_tables(self.worker(block))
