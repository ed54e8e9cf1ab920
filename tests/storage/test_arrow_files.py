"""What Arrow asks a store for when it reads a Parquet file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.object_store import ObjectStore
from vbert.storage.arrow_files import arrow_filesystem

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("num_rows", "num_requests"), [(100, 2), (100_000, 4)])
def test_a_small_file_takes_one_request_and_a_large_one_its_end_and_a_column(
    bucket: str, store: ObjectStore, num_rows: int, num_requests: int
):
    """And each one for its size, before; a group of rows is got in a request."""
    numbers = np.random.default_rng(0).random((2, num_rows))
    rows = pa.table({"a": numbers[0], "b": numbers[1]})
    filesystem, path = arrow_filesystem(f"{bucket}/rows.parquet")
    with filesystem.open_output_stream(path) as file:
        pq.write_table(rows, file, row_group_size=50_000, use_dictionary=False)
    before = store.counts()
    with filesystem.open_input_file(path) as file:
        found = pq.ParquetFile(file, pre_buffer=True).read(columns=["b"])
    after = store.counts()
    assert found.equals(rows.select(["b"]))
    assert after["well"] - before["well"] == num_requests
    assert after["bytes"] - before["bytes"] < 0.6 * rows.nbytes + 2**16
