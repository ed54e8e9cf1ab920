"""Windows of documents are built by actors, ahead of the worker that asks for them."""

import itertools
import os
import signal
from contextlib import closing
from typing import Any, cast

import numpy as np
import pytest

from vbert.distributed.shuffle_windows import WINDOWS_AHEAD, built_windows
from vbert.documents.data_streams import ShuffleWindow
from vbert.documents.shuffle_windows import ShuffleWindowReader


class Numbers:
    """Makes of a window its number and the process that it was made in; of every third nothing."""

    def micro_batches(self, window: ShuffleWindow) -> list[dict[str, np.ndarray]]:
        return [{"number": np.array([window.number, os.getpid()])}] if window.number % 3 else []


@pytest.mark.slow
def test_windows_come_in_their_order_when_a_builder_has_died(joined: None):
    asked: list[int] = []

    def windows() -> Any:
        for number in itertools.count():
            asked.append(number)
            yield ShuffleWindow(stream=0, epoch=0, number=number, runs=())

    reader = cast("ShuffleWindowReader", Numbers())
    builders = set()
    with closing(built_windows(windows(), reader, num_builders=2)) as built:
        for number in range(2 * WINDOWS_AHEAD):
            window, batches = next(built)
            assert window.number == number
            assert [batch["number"][0] for batch in batches] == ([number] if number % 3 else [])
            assert len(asked) == number + WINDOWS_AHEAD, "no further ahead"
            builders |= {int(batch["number"][1]) for batch in batches}
            if number == 5:
                assert len(builders) == 2
                os.kill(min(builders), signal.SIGKILL)
    assert len(builders) == 3, "another in its place"
