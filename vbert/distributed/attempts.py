"""Which rows workers die of: a row's third death is its failure, and no more work begins on it.

A worker that dies can say nothing, and Ray gives what it had in hand to another. So a row is noted before
work on it begins, where the note outlives the worker and its machine: in the cluster's key-value store.
"""

import json
from typing import Any, Protocol

import ray
from ray.experimental import internal_kv

from vbert.errors import VideoError

MAX_DEATHS = 3
RETRIES = 5  # of work on what is our own, of which no worker should die: it goes away with its machine
RESTARTS = 1000  # of an actor, beside those of its work: it may stand idle when its machine goes away


def retries_of(rows_per_block: int) -> int:
    """How often Ray may do a block of strangers' files again: each of them may cost MAX_DEATHS, and as many
    machines may go away."""
    return 2 * MAX_DEATHS * rows_per_block


def actor_retries(retries: int = RETRIES) -> dict[str, Any]:
    """Arguments of `map_batches` with actors; without them Ray Data starts dead ones again for ever."""
    return {"max_restarts": RESTARTS, "max_task_retries": retries}


def task_retries(retries: int = RETRIES) -> dict[str, Any]:
    """Arguments of `map_batches` with tasks; without them Ray Data starts dead ones again for ever."""
    return {"max_retries": retries}


class Notes(Protocol):
    """Where notes outlive who made them."""

    def get(self, key: str) -> bytes | None:
        """None: there is no such note."""

    def put(self, key: str, note: bytes) -> None:
        """Make a note, or another one in its place."""

    def remove(self, key: str) -> None:
        """Take a note away, if it is there."""


class ClusterNotes:
    """Notes of a job in the store of its cluster: a millisecond each, and no process of their own."""

    def __init__(self) -> None:
        self._namespace = f"vbert-{ray.get_runtime_context().get_job_id()}"

    def get(self, key: str) -> bytes | None:
        """See Notes."""
        note: bytes | None = internal_kv._internal_kv_get(key, namespace=self._namespace)
        return note

    def put(self, key: str, note: bytes) -> None:
        """See Notes."""
        internal_kv._internal_kv_put(key, note, overwrite=True, namespace=self._namespace)

    def remove(self, key: str) -> None:
        """See Notes."""
        internal_kv._internal_kv_del(key, namespace=self._namespace)


class Attempts:
    """The attempts at the rows of one block, which are named by what is unique in the job. A block that is
    tried again has the same first row."""

    def __init__(self, stage: str, first_row: str, *, notes: Notes | None = None) -> None:
        """`stage` is that of a row that is given up. Without `notes` they are the cluster's."""
        self._stage = stage
        self._key = f"{stage} {first_row}"
        self._notes = notes or ClusterNotes()
        self._deaths: dict[str, int] = json.loads(self._notes.get(self._key) or b"{}")

    def begin(self, row: str) -> None:
        """Before the work on a row, with which that on the row before has ended well.

        Raises VideoError(stage, reason) for one that MAX_DEATHS workers have died of.
        """
        deaths = self._deaths.get(row, 0)
        if deaths >= MAX_DEATHS:
            raise VideoError(self._stage, f"{deaths} workers died of it")
        self._note(self._deaths | {row: deaths + 1})

    def end(self) -> None:
        """After the last row: a death from now on is nobody's fault. A note stays only where some died: there
        are as many blocks as a corpus is large."""
        if self._deaths:
            self._note(self._deaths)
        else:
            self._notes.remove(self._key)

    def _note(self, deaths: dict[str, int]) -> None:
        self._notes.put(self._key, json.dumps(deaths).encode())
