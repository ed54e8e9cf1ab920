"""Ray reads tables where their files are, and gives back what a report says of them: counts and samples."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow.compute as pc
import ray

from vbert.documents.exclusion import COUNTS
from vbert.report.facts import LedgerSurvey
from vbert.report.health import CopiesSurvey, SignalsSurvey, SpeechSurvey
from vbert.tables.delta import Table
from vbert.tables.schemas import SIGNALS, short_hash

LEDGER_COLUMNS = ("uri", "status", "stage", "reason", "warnings", "duration_seconds", "num_clips")
DOCUMENTS_COLUMNS = ("video_id", "visual_tokens", "language", "excluded_for", *COUNTS)
Found = TypeVar("Found")
Survey = TypeVar("Survey", LedgerSurvey, SignalsSurvey, CopiesSurvey)


class DocumentsSurvey(NamedTuple):
    """Of a table of documents, or of one of its files."""

    counts: np.ndarray
    """How often each visual token occurs: int64 [num_leaves]."""
    sample: list[str]
    """Ids of some videos, drawn by a hash; all if they are few."""
    speech: SpeechSurvey


def survey_documents(table: Table, *, partition: str, num_leaves: int, num_sampled: int) -> DocumentsSurvey:
    """Each file is read once, on a worker."""

    def survey(path: str) -> DocumentsSurvey:
        counts = np.zeros(num_leaves, np.int64)
        sample: list[str] = []
        speech = SpeechSurvey()
        for rows in table.row_groups(path, columns=DOCUMENTS_COLUMNS):
            tokens = pc.list_flatten(rows["visual_tokens"]).to_numpy()
            counts += np.bincount(tokens, minlength=num_leaves)
            sample = drawn(sample + rows["video_id"].to_pylist(), num_sampled)
            speech += SpeechSurvey.of(rows)
        return DocumentsSurvey(counts, sample, speech)

    whole = DocumentsSurvey(np.zeros(num_leaves, np.int64), [], SpeechSurvey())
    for part in _of_each(survey, table.paths(partition=partition)):
        whole = DocumentsSurvey(
            whole.counts + part.counts,
            drawn(whole.sample + part.sample, num_sampled),
            whole.speech + part.speech,
        )
    return whole


def survey_signals(table: Table, *, partition: str) -> SignalsSurvey:
    """The same of the table `features`, of which no vector is read."""
    return _sum_of(SignalsSurvey, table, ("video_id", "clip_start_seconds", *SIGNALS), partition=partition)


def survey_copies(table: Table, *, partition: str) -> CopiesSurvey:
    """The same of the table `duplicates`, if it is there."""
    if not table.exists():
        return CopiesSurvey()
    return _sum_of(CopiesSurvey, table, ("video_id", "kept_id", "offset_seconds"), partition=partition)


def survey_ledger(table: Table, *, partition: str) -> LedgerSurvey:
    """The same of the table `videos`."""
    return _sum_of(LedgerSurvey, table, LEDGER_COLUMNS, partition=partition)


def _sum_of(kind: type[Survey], table: Table, columns: Sequence[str], *, partition: str) -> Survey:
    def survey(path: str) -> Survey:
        parts = (kind.of(rows) for rows in table.row_groups(path, columns=columns))
        return reduce(add, parts, kind())

    return reduce(add, _of_each(survey, table.paths(partition=partition)), kind())


def drawn(video_ids: Sequence[str], count: int) -> list[str]:
    """So many of them, whatever their order: those whose hash is least, which are as good as random."""
    return sorted(video_ids, key=lambda name: short_hash("report", name))[:count]


def _of_each(survey: Callable[[str], Found], paths: Sequence[str]) -> Iterator[Found]:
    """In the order of the paths, so that a report of the same tables is the same."""
    remote: Any = ray.remote(num_cpus=1)(survey)
    refs = deque(remote.remote(path) for path in paths)
    while refs:
        found: Found = ray.get(refs.popleft())
        yield found
