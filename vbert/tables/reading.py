"""Tables as a notebook reads them, and which of their partitions is meant."""

from collections.abc import Iterator

import pyarrow as pa

from vbert.errors import UserError
from vbert.storage.files import absolute_uri
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS


def read_documents(tables: str, *, vocabulary: str | None = None, version: int | None = None) -> pa.Table:
    """The documents of a visual vocabulary, a row a video; the columns are those of `schemas.DOCUMENTS`.

    `vocabulary` is an id, and may be left out where there is one; `version` is the table's, None the latest.
    Raises UserError for tables without documents, or with those of several vocabularies and none named.
    """
    table, vocabulary = _documents_of(tables, vocabulary)
    return table.read(columns=DOCUMENTS.schema.names, partition=vocabulary, version=version)


def document_batches(
    tables: str, *, vocabulary: str | None = None, version: int | None = None
) -> pa.RecordBatchReader:
    """The same rows as Arrow batches, for more of them than fit into memory: one row group is read at a
    time."""
    table, found = _documents_of(tables, vocabulary)
    files = table.files(partition=found, version=version)

    def batches() -> Iterator[pa.RecordBatch]:
        for path in files:
            for rows in table.row_groups(path):
                whole = rows.append_column(DOCUMENTS.partition, pa.repeat(found, rows.num_rows))
                yield from whole.select(DOCUMENTS.schema.names).to_batches()

    return pa.RecordBatchReader.from_batches(DOCUMENTS.schema, batches())


def choose_featurizer(wanted: str | None, features: Table) -> str:
    """The one that is wanted, or the only one there. UserError if it is not there, or there are several."""
    there = features.partitions()
    if not there:
        raise UserError(f"{features.uri}: no features yet; run featurize first")
    if wanted is None and len(there) == 1:
        return there[0]
    if wanted not in there:
        problem = f"has no featurizer {wanted}" if wanted else "has several featurizers"
        raise UserError(f"{features.uri}: {problem}; give --featurizer, one of {', '.join(there)}")
    return wanted


def _documents_of(tables: str, vocabulary: str | None) -> tuple[Table, str]:
    table = Table(absolute_uri(tables), DOCUMENTS)
    known = sorted(table.partitions())
    if vocabulary is None and len(known) == 1:
        vocabulary = known[0]
    if vocabulary not in known:
        fix = f"give vocabulary, one of {', '.join(known)}" if known else "run build_documents first"
        raise UserError(f"{tables}: has {'no' if vocabulary is None else 'none of those'} documents; {fix}")
    return table, vocabulary
