"""Which documents are to be made, made again, or dropped.

    the ledger's videos, the fingerprints of their texts, and the documents -> compare -> what is left to do

As `corpus/changes.py` does, on local disk where it is too much for the memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from vbert.storage.spilling import count_rows, create_table, read_all, read_parts, spilling_database
from vbert.tables.schemas import DOCUMENTS, VIDEOS

if TYPE_CHECKING:
    import duckdb

LEDGER_COLUMNS = ["video_id", "fingerprint", "transcript_uri", "transcript_fingerprint", "num_clips"]
LEDGER = pa.schema(
    [
        *(VIDEOS.schema.field(name) for name in LEDGER_COLUMNS),
        ("file", pa.int32()),  # of the ledger, where the rest of the row lies
    ]
)
# `transcript_fingerprint` is of the text that the document will have.
PENDING = pa.schema(
    [
        *LEDGER,
        ("is_copy", pa.bool_()),  # left out as a duplicate
        ("is_known", pa.bool_()),  # there is a document, which is to go
    ]
)
KNOWN = pa.schema([DOCUMENTS.schema.field(name) for name in DOCUMENTS.narrow])
COPIES = pa.schema([("video_id", pa.string())])
CAPTIONED = pa.schema([("video_id", pa.string()), ("text_fingerprint", pa.string())])
SPOKEN = pa.schema(
    [("video_id", pa.string()), ("fingerprint", pa.string()), ("text_fingerprint", pa.string())]
)
COMPARE = """
    create table pending as
    with usable as (
        select ledger.* replace (case
            when captioned.video_id is not null then captioned.text_fingerprint
            when ledger.transcript_uri is null then spoken.text_fingerprint
            else ledger.transcript_fingerprint
            end as transcript_fingerprint), copies.video_id is not null as is_copy
        from ledger
        left join copies using (video_id)
        left join captioned using (video_id)
        left join spoken on spoken.video_id = ledger.video_id and spoken.fingerprint = ledger.fingerprint
    )
    select usable.*, known.video_id is not null as is_known
    from usable left join known using (video_id)
    where known.video_id is null
        or known.fingerprint is distinct from usable.fingerprint
        or known.transcript_fingerprint is distinct from usable.transcript_fingerprint
        or known.exclude is distinct from $exclude
        or coalesce(known.excluded_for = 'duplicates', false) <> usable.is_copy
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentChanges:
    """What the ledger has that the documents of a vocabulary do not, and the other way round."""

    num_pending: int
    """Videos whose document is to be made."""
    num_unchanged: int
    """Videos whose document holds."""
    database: "duckdb.DuckDBPyConnection"

    def pending(self, *, at_most: int) -> Iterator[pa.Table]:
        """Schema PENDING, so many at a time, in the order of their ids."""
        return read_parts(self.database, "select * from pending order by video_id", PENDING, rows=at_most)

    def gone(self) -> list[str]:
        """Ids of the documents whose videos are no longer there, or no longer usable."""
        query = "select video_id from known anti join ledger using (video_id) order by video_id"
        return [video_id for (video_id,) in read_all(self.database, query)]


class Comparison:
    """Takes in what is compared, each with at most one row a video."""

    def __init__(self, ledger: Iterable[pa.Table]) -> None:
        """`ledger` are parts of the usable videos' rows, schema LEDGER."""
        self._database = spilling_database()
        create_table(self._database, "ledger", LEDGER, ledger)

    def changes(
        self,
        *,
        captioned: Iterable[pa.Table],
        spoken: Iterable[pa.Table],
        copies: Iterable[pa.Table],
        known: Iterable[pa.Table],
        exclude: str | None,
    ) -> DocumentChanges:
        """What there is to do: `captioned` texts go before those that the ledger names, `spoken` ones come
        after them, `copies` and what `exclude` says are left out, `known` are the documents."""
        for name, schema, parts in (
            ("captioned", CAPTIONED, captioned),
            ("spoken", SPOKEN, spoken),
            ("copies", COPIES, copies),
            ("known", KNOWN, known),
        ):
            create_table(self._database, name, schema, parts)
        self._database.execute(COMPARE, {"exclude": exclude})
        num_pending = count_rows(self._database, "pending")
        return DocumentChanges(
            num_pending=num_pending,
            num_unchanged=count_rows(self._database, "ledger") - num_pending,
            database=self._database,
        )
