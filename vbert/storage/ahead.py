"""Work on the next few items while the answer for one is used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ahead(function: Callable[[Item], Answer], items: Iterable[Item], *, num_threads: int) -> Iterator[Answer]:
    """`function` of each item, in their order, from threads; so many answers wait at most as there are
    threads, where `ThreadPoolExecutor.map` would make them all at once."""
    rest = iter(items)
    with ThreadPoolExecutor(num_threads) as threads:
        waiting: deque[Future[Answer]] = deque()
        try:
            waiting.extend(threads.submit(function, item) for item in islice(rest, num_threads))
            while waiting:
                answer = waiting.popleft().result()
                waiting.extend(threads.submit(function, item) for item in islice(rest, 1))
                yield answer
        finally:
            for future in waiting:
                future.cancel()
