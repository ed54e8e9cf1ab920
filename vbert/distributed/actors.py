"""Blocks of work on actors of Ray, and nothing around them.

Ray Data brings actors of its own (statistics, autoscaling) and tasks that cut and count blocks, each in a new
process, and imports pandas: 13 s of a run of 19 on two slow cores, for four videos of 6 s. It has its place
where stages have to wait for each other: where segments are planned and decoded, and in exchanges.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import pyarrow as pa
import ray

from vbert.distributed.attempts import RETRIES, actor_retries
from vbert.distributed.resources import AUTO, count_cpus, count_gpus

STARTED_WITH_EACH = 2  # so 1, 3, 7 and 15 actors, a generation after the other
# A table, or where the pieces of one lie.
Block: TypeAlias = pa.Table | Sequence["ray.ObjectRef[pa.Table]"]


def fetched(value: Any) -> Any:
    """What a reference stands for, or the value itself where no cluster is in between."""
    return ray.get(value) if isinstance(value, ray.ObjectRef) else value


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
    num_gpus = count_gpus(gpus)
    return outcomes(
        kind,
        blocks,
        num_actors=num_actors or num_gpus or max(1, count_cpus() // cpus_a_model),
        arguments=arguments,
        options={"num_cpus": 1, "num_gpus": int(num_gpus > 0), **actor_retries(retries)},
    )


def outcomes_on_cpus(
    kind: type[Any], blocks: Iterable[pa.Table], *, arguments: Mapping[str, Any], retries: int = RETRIES
) -> Iterator[pa.Table]:
    """The outcomes of actors of one CPU each, on all CPUs of the cluster if there are blocks for them."""
    return outcomes(
        kind,
        blocks,
        num_actors=count_cpus(),
        arguments=arguments,
        options={"num_cpus": 1, **actor_retries(retries)},
    )


def outcomes(kind: type[Any], blocks: Iterable[Block], **how: Any) -> Iterator[pa.Table]:
    """What `kind` makes of each block, as it comes; `how` is as `outcome_refs` takes it."""
    for ref in outcome_refs(kind, blocks, **how):
        outcome: pa.Table = ray.get(ref)
        yield outcome


def outcome_refs(
    kind: type[Any],
    blocks: Iterable[Block],
    *,
    num_actors: int | tuple[int, int],
    arguments: Mapping[str, Any],
    options: Mapping[str, Any],
    blocks_per_actor: int = 1,
) -> Iterator["ray.ObjectRef[pa.Table]"]:
    """Where that lies which `kind(**arguments)`, a class for Ray Data's `map_batches`, makes of each block.

    There are `num_actors`, or one for each block where these are fewer. Of the least and the most the least
    are started, and with each that is up STARTED_WITH_EACH more, so that the autoscaler is asked for nodes as
    there is work for them. A block is asked for when an actor is
    up and has less than `blocks_per_actor`: so one that no node has room for keeps none waiting, and blocks
    may be as many as one likes. An actor ends when there is no more for it. `options` are those of Ray's
    actors: resources, and how often work is done again.
    """
    least, most = (num_actors, num_actors) if isinstance(num_actors, int) else num_actors
    rest = iter(blocks)
    waiting: deque[Block] = deque()
    starting: dict[Any, Any] = {}
    working: dict[Any, Any] = {}
    num_started = 0

    def start(count: int) -> None:
        """More actors, if there are blocks for them."""
        nonlocal num_started
        for block in islice(rest, min(count, most - num_started)):
            waiting.append(block)
            actor = remote.options(**options).remote(kind, arguments)
            starting[actor.is_up.remote()] = actor
            num_started += 1

    remote: Any = BlockActor
    start(least)
    is_more = True
    while working or (starting and is_more):
        (ref,), _ = ray.wait([*working, *starting], num_returns=1)
        is_new = ref in starting
        if is_new:
            actor = starting.pop(ref)
            ray.get(ref)  # its constructor's error
            start(STARTED_WITH_EACH)
        else:
            actor = working.pop(ref)
            yield ref
        for _ in range(blocks_per_actor if is_new else 1):
            block = waiting.popleft() if waiting else next(rest, None)
            is_more = block is not None
            if block is not None:
                working[actor.work.remote(*([block] if isinstance(block, pa.Table) else block))] = actor


@ray.remote
class BlockActor:
    """An actor of what Ray Data would call. Its arguments come in one mapping: of others Ray would fetch
    those that are references."""

    def __init__(self, kind: type[Any], arguments: Mapping[str, Any]) -> None:
        self.worker = kind(**arguments)

    def is_up(self) -> bool:
        """Once it is."""
        return True

    def work(self, *pieces: pa.Table) -> pa.Table:
        """All that it makes of a block."""
        made = self.worker(pa.concat_tables(pieces))
        return made if isinstance(made, pa.Table) else pa.concat_tables(made)
