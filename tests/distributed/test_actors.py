"""How many actors there are, and when: counted by a stand-in for Ray, of which one comes up at a time."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from vbert.distributed import actors
from vbert.distributed.actors import outcome_refs


class StandIn:
    """Actors and references that are the facts themselves; `ray.wait` gives what is oldest."""

    def __init__(self) -> None:
        self.num_started = 0
        self.counts: list[int] = []  # of those that were started, whenever one came up
        self.events: deque[str] = deque()

    def options(self, **_: Any) -> "StandIn":
        return self

    def remote(self, *_: Any) -> SimpleNamespace:
        number = self.num_started = self.num_started + 1

        def told(what: str) -> str:
            self.events.append(what)
            return what

        return SimpleNamespace(
            is_up=SimpleNamespace(remote=lambda: told(f"up {number}")),
            work=SimpleNamespace(remote=lambda block: told(f"block {block['n'][0]} by {number}")),
        )

    def wait(self, refs: list[str], *, num_returns: int) -> tuple[list[str], list[str]]:
        assert num_returns == 1
        (first,) = [event for event in self.events if event in refs][:1]
        self.events.remove(first)
        self.counts += [self.num_started] if first.startswith("up") else []
        return [first], []


@pytest.mark.parametrize(
    ("num_actors", "num_blocks", "started"),
    [
        (3, 8, [3]),
        (5, 2, [2]),  # no more than there is work for
        ((1, 7), 99, [1, 3, 5, 7]),
        ((1, 7), 4, [1, 3, 4]),
        ((2, 2), 9, [2]),
    ],
)
def test_the_least_are_started_and_each_that_is_up_brings_two_more(
    monkeypatch: pytest.MonkeyPatch, num_actors: Any, num_blocks: int, started: list[int]
):
    """`started` is how many there were when one came up, without repetitions."""
    ray = StandIn()
    monkeypatch.setattr(actors, "BlockActor", ray)
    monkeypatch.setattr(actors, "ray", SimpleNamespace(wait=ray.wait, get=lambda ref: ref))
    blocks = (pa.table({"n": [number]}) for number in range(num_blocks))
    refs: Any = outcome_refs(object, blocks, num_actors=num_actors, arguments={}, options={})
    found = [int(ref.split()[1]) for ref in refs]
    assert sorted(found) == list(range(num_blocks)), "each block once"
    assert sorted(set(ray.counts)) == started
