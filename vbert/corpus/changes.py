"""What changed since a corpus was last featurized.

    its videos, and the ledger's rows -> compare -> what is left to do

Both may have more rows than fit the memory: the join lies on local disk then, and its result is read a part
at a time, in the order of the ids (`tables/selection.py` says what for).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from vbert.corpus.sources import CORPUS
from vbert.storage.spilling import count_rows, create_table, read_all, read_parts, spilling_database

if TYPE_CHECKING:
    import duckdb

PENDING = CORPUS.append(pa.field("change", pa.string()))  # new | changed | retried
KNOWN = pa.schema(
    [
        *(
            CORPUS.field(name)
            for name in ("video_id", "fingerprint", "transcript_uri", "transcript_fingerprint")
        ),
        ("status", pa.string()),
        ("gone_since", pa.float64()),
    ]
)
LEDGER_COLUMNS = tuple(KNOWN.names)
GONE = pa.schema([KNOWN.field(name) for name in ("video_id", "gone_since")])
COMPARE = """
    create table changes as
    select listed.*, case
        when known.video_id is null then 'new'
        when listed.fingerprint is distinct from known.fingerprint then 'changed'
        when known.status in ('failed', 'partial') and $retry_failed then 'retried'
        when listed.transcript_uri is distinct from known.transcript_uri
            or listed.transcript_fingerprint is distinct from known.transcript_fingerprint then 'transcript'
        end as change
    from listed left join known using (video_id)
    where change is not null
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusChanges:
    """What a corpus has that a ledger does not, and the other way round."""

    num_listed: int
    """Videos of the corpus."""
    num_known: int
    """Videos of the ledger."""
    num_pending: int
    """Videos to featurize."""
    num_new_transcripts: int
    """Videos whose features hold but whose transcript came, went or changed."""
    num_removed: int
    """Videos of the ledger that the corpus no longer has."""
    database: "duckdb.DuckDBPyConnection"

    @property
    def num_unchanged(self) -> int:
        """Videos that need nothing."""
        return self.num_listed - self.num_pending - self.num_new_transcripts

    def pending(self) -> Iterator[pa.Table]:
        """Videos to featurize, schema PENDING, in the order of their ids."""
        query = "select * from changes where change <> 'transcript' order by video_id"
        return read_parts(self.database, query, PENDING)

    def new_transcripts(self) -> Iterator[pa.Table]:
        """Videos with another transcript, schema CORPUS, in the order of their ids."""
        query = "select * exclude (change) from changes where change = 'transcript' order by video_id"
        return read_parts(self.database, query, CORPUS)

    def removed(self) -> pa.Table:
        """The removed videos' `video_id` and `gone_since`, in the order of their ids."""
        query = "select video_id, gone_since from known anti join listed using (video_id) order by video_id"
        return pa.concat_tables([GONE.empty_table(), *read_parts(self.database, query, GONE)])

    def returned(self) -> list[str]:
        """Ids of the videos that are marked as gone, and are there."""
        query = (
            "select video_id from known semi join listed using (video_id) where gone_since is not null "
            "order by video_id"
        )
        return [video_id for (video_id,) in read_all(self.database, query)]


def compare(corpus: Iterable[pa.Table], ledger: Iterable[pa.Table], *, retry_failed: bool) -> CorpusChanges:
    """What is new, changed or gone.

    `corpus` are parts of schema CORPUS, `ledger` parts with LEDGER_COLUMNS, with at most one row a video: it
    is one featurizer's. With `retry_failed`, a video whose status is failed or partial is pending too.
    """
    database = spilling_database()
    create_table(database, "listed", CORPUS, corpus)
    create_table(database, "known", KNOWN, ledger)
    database.execute(COMPARE, {"retry_failed": retry_failed})

    return CorpusChanges(
        num_listed=count_rows(database, "listed"),
        num_known=count_rows(database, "known"),
        num_pending=count_rows(database, "changes where change <> 'transcript'"),
        num_new_transcripts=count_rows(database, "changes where change = 'transcript'"),
        num_removed=count_rows(database, "known anti join listed using (video_id)"),
        database=database,
    )
