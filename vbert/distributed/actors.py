"""Blocks of work on actors of Ray, and nothing around them.

Ray Data brings actors of its own (statistics, autoscaling) and tasks that cut and count blocks, each in a new
process, and imports pandas: 13 s of a run of 19 on two slow cores, for four videos of 6 s. It has its place
where blocks are many and large, and stages have to wait for each other: in featurization, and in exchanges.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray

from vbert.distributed.attempts import RETRIES, actor_retries
from vbert.distributed.resources import AUTO, count_cpus, count_gpus


def blocks_of(rows: Sequence[Mapping[str, Any]], *, size: int) -> list[pa.Table]:
    """Rows as tables of so many."""
    return [pa.Table.from_pylist(list(rows[at : at + size])) for at in range(0, len(rows), size)]


def outcomes_of_models(
    kind: type[Any],
    blocks: Iterable[pa.Table],
    *,
    arguments: Mapping[str, Any],
    num_actors: int | None = None,
    cpus_a_model: int = 2,
    gpus: str = AUTO,
    retries: int = RETRIES,
) -> Iterator[pa.Table]:
    """The outcomes of actors that hold a model each: one a GPU, if the cluster has any, else one for some of
    its CPUs; or `num_actors`. `gpus` is what `--gpus` says, `retries` how often work is done again when its
    actor dies."""
    waiting = list(blocks)
    num_gpus = count_gpus(gpus)
    wanted = num_actors or num_gpus or max(1, count_cpus() // cpus_a_model)
    return outcomes(
        kind,
        waiting,
        num_actors=min(wanted, len(waiting)),
        arguments=arguments,
        options={"num_cpus": 1, "num_gpus": int(num_gpus > 0), **actor_retries(retries)},
    )


def outcomes_on_cpus(
    kind: type[Any], blocks: Sequence[pa.Table], *, arguments: Mapping[str, Any], retries: int = RETRIES
) -> Iterator[pa.Table]:
    """The outcomes of actors of one CPU each, on all CPUs of the cluster if there are blocks for them."""
    return outcomes(
        kind,
        blocks,
        num_actors=min(count_cpus(), len(blocks)),
        arguments=arguments,
        options={"num_cpus": 1, **actor_retries(retries)},
    )


def outcomes(kind: type[Any], blocks: Iterable[pa.Table], **how: Any) -> Iterator[pa.Table]:
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
    actor: Any = BlockActor
    actors = [actor.options(**options).remote(kind, arguments) for _ in range(num_actors)]
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
class BlockActor:
    """An actor of what Ray Data would call. Its arguments come in one mapping: of others Ray would fetch
    those that are references."""

    def __init__(self, kind: type[Any], arguments: Mapping[str, Any]) -> None:
        self.worker = kind(**arguments)

    def is_up(self) -> bool:
        """Once it is."""
        return True

    def work(self, block: pa.Table) -> pa.Table:
        """All that it makes of a block."""
        made = self.worker(block)
        return made if isinstance(made, pa.Table) else pa.concat_tables(made)
