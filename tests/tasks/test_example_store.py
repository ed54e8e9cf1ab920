from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.tiny import cooking
from vbert.storage.files import filesystem_of
from vbert.tasks import example_store
from vbert.tasks.annotations import ANNOTATIONS
from vbert.tasks.example_store import ExampleStore, rows_of, table_of, write_file
from vbert.tasks.examples import example_of

DIM = 5


def rows(*, with_features: bool = True) -> list[dict[str, Any]]:
    """Of six videos the whole, the middle, and a time that has no clips."""
    nothing: dict[str, Any] = dict.fromkeys(ANNOTATIONS.names)
    found: list[dict[str, Any]] = []
    for number in range(6):
        document = cooking(number)
        if with_features:
            document["features"] = np.random.default_rng(number).normal(size=(12, DIM)).astype(np.float16)
        for start, end in ((None, None), (3.0, 9.0), (90.0, 91.0)):
            about = {"video_id": document["video_id"], "start_seconds": start, "end_seconds": end}
            split = "train" if number < 4 else "test"
            mine = nothing | about | {"split": split, "labels": ["a", "b"][: number % 3]}
            found.append(example_of(mine | {"number": len(found)}, document))
    return found


def same(found: Sequence[Any], expected: Sequence[Any]) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        left, right = ({**row} for row in (mine, theirs))
        left.pop("at", None)
        vectors, wanted = left.pop("features", None), right.pop("features", None)
        assert left == right
        assert (vectors is None) == (wanted is None)
        if vectors is not None:
            assert vectors.dtype == np.float16
            assert vectors.tolist() == wanted.tolist()


def test_a_table_gives_its_rows_back():
    same(rows_of(table_of(rows(), with_features=True)), rows())
    parts = [table_of(part, with_features=True) for part in (rows()[:4], rows()[4:])]
    same(rows_of(pa.concat_tables(parts).slice(3, 9)), rows()[3:12])
    same(rows_of(table_of(rows(with_features=False), with_features=False)), rows(with_features=False))


@pytest.mark.parametrize("with_features", [True, False])
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_store_reads_what_was_written_from_a_folder_and_from_a_bucket(
    place: str, with_features: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(example_store, "CLIPS_AT_ONCE", 20)  # parts of one or two videos' examples
    uri = str(tmp_path) if place == "folder" else f"memory://{tmp_path.name}-{with_features}"
    written = rows(with_features=with_features)
    filesystem, folder = filesystem_of(uri)
    filesystem.makedirs(folder, exist_ok=True)
    for first in (0, 9):
        parts = [written[first : first + 5], written[first + 5 : first + 9]]
        write_file(f"{uri}/{first:09}", parts, with_features=with_features)
    store = ExampleStore(uri)
    listed = store.rows("train")
    assert [row["number"] for row in listed] == [0, 1, 3, 4, 6, 7, 9, 10]
    assert "visual_tokens" not in listed[0]
    mixed = [listed[at] for at in (7, 0, 3, 3)] + store.rows("test")[-1:]
    same(store.with_video(mixed), [written[row["number"]] for row in mixed])
    ((grouped),) = store.with_video([{"video_id": "v", "intervals": listed[2:4]}])
    same(grouped["intervals"], [written[3], written[4]])


def test_features_stay_on_disk(tmp_path: Path):
    """Eight megabytes of them, of which Arrow holds nothing."""
    row = rows()[0]
    row["features"] = np.ones((12, 2**15), np.float16)
    write_file(f"{tmp_path}/0", [[{**row, "number": number} for number in range(10)]], with_features=True)
    before = pa.total_allocated_bytes()
    store = ExampleStore(str(tmp_path))
    (shown,) = store.with_video(store.rows("train")[-1:])
    assert shown["features"].shape == (12, 2**15)
    assert pa.total_allocated_bytes() - before < 100_000
