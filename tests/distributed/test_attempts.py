"""What workers die of is given up at the third death, and nothing else is."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from vbert.distributed.actors import outcomes
from vbert.distributed.attempts import Attempts, actor_retries, retries_of, task_retries
from vbert.errors import VideoError


class Paper:
    """Notes on paper."""

    def __init__(self) -> None:
        self.notes: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.notes.get(key)

    def put(self, key: str, note: bytes) -> None:
        self.notes[key] = note

    def remove(self, key: str) -> None:
        self.notes.pop(key, None)


def work(rows: str, deadly: str, paper: Paper) -> tuple[str, str] | None:
    """A worker's hour: the rows that it did and those that it gave up; None if it died of a deadly one."""
    attempts = Attempts("decode", rows[0], notes=paper)
    done, given_up = "", ""
    for row in rows:
        try:
            attempts.begin(row)
        except VideoError as error:
            given_up += f"{row} ({error})"
            continue
        if row in deadly:
            return None
        done += row
    attempts.end()
    return done, given_up


def test_each_deadly_row_costs_three_workers_and_no_other_row_is_given_up():
    paper = Paper()
    lives = [work("abcde", "bd", paper) for _ in range(7)]
    assert lives == [None] * 6 + [("ace", "b (decode: 3 workers died of it)d (decode: 3 workers died of it)")]
    assert work("fgh", "", paper) == ("fgh", ""), "another block"
    assert list(paper.notes) == ["decode a"], "of a block that none died of nothing is kept"


def test_rows_that_a_worker_survived_are_not_charged_with_later_deaths():
    """As of machines that go away: each time with another row in hand, or after the last."""
    paper = Paper()
    for last in "abcab":
        attempts = Attempts("decode", "a", notes=paper)
        for row in "abc"[: "abc".index(last) + 1]:
            attempts.begin(row)
    assert work("abc", "", paper) == ("abc", "")
    for _ in range(5):
        assert work("abc", "", paper) == ("abc", "")


def test_ray_may_do_a_block_again_as_often_as_its_rows_may_kill_and_not_for_ever():
    assert retries_of(16) >= 3 * 16
    assert 0 < actor_retries()["max_task_retries"] < actor_retries(retries_of(16))["max_task_retries"] < 200
    assert 0 < actor_retries()["max_restarts"] <= 1000
    assert 0 < task_retries()["max_retries"] < 10


class Reader:
    """An actor that dies of the row 2, and notes in a folder what it begins."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __call__(self, rows: pa.Table) -> pa.Table:
        attempts = Attempts("decode", str(rows["row"][0]))
        found = []
        for row in rows["row"].to_pylist():
            try:
                attempts.begin(str(row))
            except VideoError as error:
                found.append({"row": row, "reason": error.reason})
                continue
            (self.folder / f"{row}-{os.getpid()}").touch()
            if row == 2:
                os._exit(1)
            found.append({"row": row, "reason": None})
        attempts.end()
        return pa.Table.from_pylist(found)


@pytest.mark.slow
def test_the_job_goes_on_when_three_workers_have_died_of_a_row(joined: None, tmp_path: Path):
    rows = pa.table({"row": range(6)})
    blocks = outcomes(
        Reader,
        [rows.slice(0, 4), rows.slice(4)],
        num_actors=1,
        arguments={"folder": str(tmp_path)},
        options={"num_cpus": 1, **actor_retries(retries_of(4))},
    )
    found = {row["row"]: row["reason"] for block in blocks for row in block.to_pylist()}
    assert found == dict.fromkeys((0, 1, 3, 4, 5)) | {2: "3 workers died of it"}
    assert len(list(tmp_path.glob("2-*"))) == 3
