"""Documents as other libraries read them."""

from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.cooking_tables import cooking_tables
from tests.tiny import cooking
from vbert import document_batches, read_documents
from vbert.errors import UserError
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """Eight documents in two files; and the version before a ninth came."""
    root = str(tmp_path_factory.mktemp("tables"))
    vocabulary = Path(cooking_tables(root, num_videos=8)).name
    table = Table(root, DOCUMENTS)
    version = table.version()
    row = cooking(8) | {"vocabulary": vocabulary}
    file = table.write_file(pa.Table.from_pylist([row], schema=DOCUMENTS.schema))
    Committer(table, partition=vocabulary).commit([file])
    return root, version


def by_id(table: pa.Table) -> list[dict[str, object]]:
    return table.sort_by("video_id").to_pylist()


def test_batches_are_the_documents(tables: tuple[str, int]):
    root, version = tables
    for at, count in ((version, 8), (None, 9)):
        batches = list(document_batches(root, version=at))
        assert len(batches) == count // 4 + count % 2  # one a file
        found = pa.Table.from_batches(batches)
        assert found.num_rows == count
        assert by_id(found) == by_id(read_documents(root, version=at))
    with pytest.raises(UserError, match="give vocabulary, one of"):
        document_batches(root, vocabulary="other")


def test_datasets_opens_the_files_of_a_version(tables: tuple[str, int], tmp_path: Path):
    root, version = tables
    files = DeltaTable(f"{root}/documents", version=version).file_uris()
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert len(found) == 8
    expected = {row["video_id"]: row for row in by_id(read_documents(root, version=version))}
    for row in found:
        assert row["visual_tokens"] == expected[row["video_id"]]["visual_tokens"]
        assert row["sentences"] == expected[row["video_id"]]["sentences"]
