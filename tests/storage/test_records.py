import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vbert.errors import UserError
from vbert.storage.records import read_records, require

COLUMNS = {"video_id": pa.string(), "start_seconds": pa.float64()}
ROWS = [{"video_id": "007", "start_seconds": 1.5}, {"video_id": "b", "start_seconds": None}]


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_three_formats_give_the_same_rows(tmp_path: Path, extension: str):
    path = tmp_path / f"clips.{extension}"
    if extension == "csv":
        path.write_text("extra,video_id,start_seconds\nx,007,1.5\ny,b,\n")
    elif extension == "jsonl":
        path.write_text('{"video_id": "007", "start_seconds": 1.5, "extra": 1}\n{"video_id": "b"}\n')
    else:
        pq.write_table(pa.Table.from_pylist([row | {"extra": 1} for row in ROWS]), path)
    assert read_records(str(path), COLUMNS, kind="list").to_pylist() == ROWS


def test_a_missing_column_is_null_and_requiring_it_names_the_row(tmp_path: Path):
    path = tmp_path / "clips.csv"
    path.write_text("video_id\na\n")
    rows = read_records(str(path), COLUMNS, kind="list")
    assert rows["start_seconds"].to_pylist() == [None]
    assert require(rows, str(path), "video_id") is rows
    with pytest.raises(UserError, match=r"clips\.csv: row 1 has no `start_seconds`"):
        require(rows, str(path), "video_id", "start_seconds")


def test_an_empty_file_is_the_users_mistake(tmp_path: Path):
    path = tmp_path / "clips.csv"
    path.write_text("video_id\n")
    with pytest.raises(UserError, match=r"clips\.csv: has no rows"):
        require(read_records(str(path), COLUMNS, kind="list"), str(path), "video_id")


@pytest.mark.parametrize(
    ("name", "said"),
    [("clips.txt", "a list is a .csv, .jsonl or .parquet file"), ("gone.csv", "cannot be read")],
)
def test_other_files_and_missing_ones_are_named(tmp_path: Path, name: str, said: str):
    with pytest.raises(UserError, match=f"{name}.*{said}"):
        read_records(str(tmp_path / name), COLUMNS, kind="list")


@pytest.mark.parametrize("name", [" start_seconds", "Start_Seconds"])
@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_column_by_another_spelling_is_not_left_alone(tmp_path: Path, extension: str, name: str):
    path = tmp_path / f"clips.{extension}"
    if extension == "csv":
        path.write_text(f"video_id,{name}\na,1.5\n")
    elif extension == "jsonl":
        path.write_text(json.dumps({"video_id": "a", name: 1.5}))
    else:
        pq.write_table(pa.table({"video_id": ["a"], name: [1.5]}), path)
    with pytest.raises(UserError, match=f"has a column `{name}` and no `start_seconds`, as a list has it"):
        read_records(str(path), COLUMNS, kind="list")


@pytest.mark.parametrize("content", ["[1, 2]\n", "7\n", '[{"video_id": "a"}]', '{"video_id"', "[" * 100_000])
def test_lines_of_another_kind_are_the_users_mistake(tmp_path: Path, content: str):
    path = tmp_path / "clips.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=r"cannot be read as a \.jsonl list"):
        read_records(str(path), COLUMNS, kind="list")
