from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbert.documents.data_streams import (
    DOCUMENTS_PER_SHUFFLE_WINDOW,
    Position,
    Run,
    ShuffleWindow,
    WorkerStreams,
    cut_runs,
    in_share,
    split_evenly,
    streams_of_worker,
    windows_from,
    windows_of_epoch,
)


def test_a_small_corpus_is_mixed_row_by_row():
    assert cut_runs({"b": 2, "a": 1}) == [Run("a", 0, 1), Run("b", 0, 1), Run("b", 1, 1)]


def test_a_large_corpus_is_read_32_neighbours_at_a_time():
    runs = cut_runs({"a": 200_000, "b": 33})
    assert max(run.num_rows for run in runs) == 32
    assert sum(run.num_rows for run in runs) == 200_033
    assert runs[-2:] == [Run("b", 0, 32), Run("b", 32, 1)]


@given(st.integers(1, 3000), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_has_every_row_once(num_rows: int, num_streams: int, epoch: int):
    runs = cut_runs({"a": num_rows})
    streams = windows_of_epoch(runs, seed=0, epoch=epoch, num_streams=num_streams)
    rows = [
        row
        for windows in streams
        for window in windows
        for run in window.runs
        for row in range(run.first, run.first + run.num_rows)
    ]
    assert sorted(rows) == list(range(num_rows))
    sizes = [sum(run.num_rows for run in window.runs) for windows in streams for window in windows]
    assert max(sizes) <= DOCUMENTS_PER_SHUFFLE_WINDOW


def test_epochs_and_seeds_have_orders_of_their_own():
    runs = cut_runs({"a": 50})
    orders = {
        tuple(windows_of_epoch(runs, seed=seed, epoch=epoch, num_streams=1)[0][0].runs)
        for seed in range(2)
        for epoch in range(2)
    }
    assert len(orders) == 4
    assert windows_of_epoch(runs, seed=1, epoch=1, num_streams=1)[0][0].runs in orders


@pytest.mark.parametrize("num_workers", [1, 2, 3, 8])
def test_every_lane_is_some_workers(num_workers: int):
    streams = [streams_of_worker(rank, num_workers=num_workers, num_streams=8) for rank in range(num_workers)]
    assert sorted(stream for mine in streams for stream in mine) == list(range(8))
    assert max(map(len, streams)) - min(map(len, streams)) <= 1


@given(st.integers(0, 500), st.integers(1, 40))
def test_rows_are_split_into_the_fewest_even_parts(num_rows: int, at_most: int):
    parts = split_evenly(num_rows, at_most=at_most)
    sizes = [part.stop - part.start for part in parts]
    assert sum(sizes) == num_rows
    assert len(parts) == -(-num_rows // at_most)
    assert not sizes or (max(sizes) <= at_most and max(sizes) - min(sizes) <= 1)


def test_a_share_is_that_share_and_a_larger_one_holds_it():
    ids = [f"video-{n}" for n in range(5000)]
    quarter, half = ({name for name in ids if in_share("x", name, share)} for share in (0.25, 0.5))
    assert len(quarter) == pytest.approx(1250, abs=100)
    assert quarter < half
    assert all(in_share("x", name, 1.0) for name in ids)
    assert not any(in_share("x", name, 0.0) for name in ids)


def fake_batches(window: ShuffleWindow) -> list[dict[str, np.ndarray]]:
    """1 to 3 micro-batches that tell where they are from; now and then none."""
    count = (window.epoch + window.number + window.stream) % 4
    return [{"name": np.array([window.epoch, window.stream, window.number, n])} for n in range(count)]


def stream_of(streams: list[int], positions: dict[int, Position], num_rows: int = 3000) -> WorkerStreams:
    runs = cut_runs({"a": num_rows})
    mine = {stream: positions.get(stream, Position()) for stream in streams}
    windows = windows_from(mine, runs, seed=0, num_streams=4)
    return WorkerStreams(((window, fake_batches(window)) for window in windows), mine)


def names(stream: WorkerStreams, num_steps: int) -> list[dict[int, tuple[int, ...]]]:
    return [
        {stream: tuple(batch["name"]) for stream, batch in stream.next_batches().items()}
        for _ in range(num_steps)
    ]


def test_any_number_of_workers_sees_the_same_global_batches():
    alone = names(stream_of([0, 1, 2, 3], {}), 40)
    first, second = names(stream_of([0, 2], {}), 40), names(stream_of([1, 3], {}), 40)
    assert alone == [one | other for one, other in zip(first, second, strict=True)]


def test_a_lane_runs_through_its_windows_in_order_and_repeats_none():
    seen = [step[1] for step in names(stream_of([0, 1], {}), 60)]
    assert len(set(seen)) == 60
    assert [(epoch, window, batch) for epoch, _, window, batch in seen] == sorted(
        (epoch, window, batch) for epoch, _, window, batch in seen
    )
    assert seen[-1][0] > 5  # epochs go on without end


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 23])
def test_a_resumed_stream_goes_on_where_it_was(num_steps: int):
    undisturbed = names(stream_of([0, 1, 2, 3], {}), 40)
    stream = stream_of([0, 1, 2, 3], {})
    before = names(stream, num_steps)
    # Two workers go on with what one began.
    after = [names(stream_of(streams, stream.positions), 40 - num_steps) for streams in ([0, 2], [1, 3])]
    assert before + [one | other for one, other in zip(*after, strict=True)] == undisturbed


def test_windows_are_due_in_the_order_that_steps_need_them():
    positions = {0: Position(), 1: Position()}
    runs = cut_runs({"a": 4000})
    due = list(islice(windows_from(positions, runs, seed=0, num_streams=2), 8))
    assert [(window.number, window.stream) for window in due] == [
        (n, stream) for n in range(4) for stream in (0, 1)
    ]
