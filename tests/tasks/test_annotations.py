import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from vbert.errors import UserError
from vbert.tasks.annotations import ANNOTATIONS, SPLITS, listed_videos, match_videos, require_any, split_of
from vbert.tasks.datasets import read_annotations

ROWS: list[dict[str, Any]] = [
    {
        "video_id": "007",
        "split": "train",
        "start_seconds": 1.5,
        "end_seconds": 4.0,
        "labels": ["cut", "egg"],
        "captions": ["cut the egg", "[music] and an egg, cut"],
        "question": "what, is it?",
        "question_type": "object",
        "answer": "egg",
        "options": ["egg", "fish"],
        "importance": 0.5,
    },
    dict.fromkeys(ANNOTATIONS.names) | {"video_id": "b", "split": "test", "labels": ["fry"]},
]


def written(path: Path) -> str:
    """The rows in the format of the path's extension."""
    if path.suffix == ".parquet":
        pa.parquet.write_table(pa.Table.from_pylist(ROWS, schema=ANNOTATIONS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    else:
        path.write_text(
            "video_id,split,start_seconds,end_seconds,labels,captions,question,question_type,answer,options,importance\n"
            '007,train,1.5,4.0,"[""cut"", ""egg""]","[""cut the egg"", ""[music] and an egg, cut""]",'
            '"what, is it?",object,egg,"[""egg"", ""fish""]",0.5\n'
            "b,test,,,fry,,,,,,\n"
        )
    return str(path)


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_file_of_ones_own_reads_the_same_in_each_format(extension: str, tmp_path: Path):
    assert read_annotations(written(tmp_path / f"mine.{extension}")).to_pylist() == ROWS


def test_a_list_in_a_csv_may_be_one_text_even_one_in_brackets(tmp_path: Path):
    (tmp_path / "a.csv").write_text("video_id,split,captions\na,train,[music] plays\nb,train,[1]\n")
    rows = read_annotations(str(tmp_path / "a.csv")).to_pylist()
    assert [row["captions"] for row in rows] == [["[music] plays"], ["[1]"]]


def test_videos_without_a_split_are_dealt_out_and_never_to_two(tmp_path: Path):
    rows = [{"video_id": f"v{number % 500}", "labels": ["a"]} for number in range(1000)]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = read_annotations(str(tmp_path / "a.jsonl"))
    splits = dict(zip(found["video_id"].to_pylist(), found["split"].to_pylist(), strict=True))
    assert all(split_of(video) == split for video, split in splits.items())
    shares = [list(splits.values()).count(split) / 500 for split in SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "dev"}, r"row 1 \(video 007\): split 'dev' is none of train, validation, test"),
        ({"end_seconds": None}, "one of start_seconds and end_seconds"),
        ({"start_seconds": 4.5}, r"start_seconds 4.5 and end_seconds 4.0"),
        ({"start_seconds": -1.0}, "must not be negative"),
        ({"answer": "bread"}, "answer 'bread' is none of the options egg, fish"),
        ({"video_id": None}, "row 1 has no `video_id`"),
    ],
)
def test_what_cannot_be_right_is_the_users_mistake(changes: dict[str, Any], message: str, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0] | changes))
    with pytest.raises(UserError, match=message):
        read_annotations(str(tmp_path / "a.jsonl"))


def test_an_importance_that_is_no_number_is_the_users_mistake(tmp_path: Path):
    (tmp_path / "a.csv").write_text("video_id,importance\na,nan\n")
    with pytest.raises(UserError, match="importance nan is no number"):
        read_annotations(str(tmp_path / "a.csv"))


def test_an_unknown_data_set_is_the_users_mistake():
    with pytest.raises(UserError, match="--dataset coco: must be records, youcook2"):
        read_annotations("somewhere", dataset="coco")


def test_videos_are_found_by_id_or_by_the_name_of_their_file():
    documents = pa.table(
        {
            "video_id": ["0a1b", "2c3d", "xyz", "4e5f"],
            "uri": ["/d/v_QOlSCBRmfWY.mp4", "s3://b/-x_Y.z.webm", "/d/other.mp4", "/d/plain.mkv"],
        }
    )
    names = ["QOlSCBRmfWY", "v_QOlSCBRmfWY", "-x_Y.z", "xyz", "v_plain", "gone"]
    annotations = pa.Table.from_pylist(
        [{"video_id": name, "labels": [name]} for name in names], schema=ANNOTATIONS
    )
    found = match_videos(annotations, documents)
    assert found.annotations["video_id"].to_pylist() == ["0a1b", "0a1b", "2c3d", "xyz", "4e5f"]
    assert [labels[0] for labels in found.annotations["labels"].to_pylist()] == names[:5]
    assert found.missing == ["gone"]


def test_an_id_goes_before_the_name_of_another_file():
    documents = pa.table({"video_id": ["a", "b"], "uri": ["/b.mp4", "/a.mp4"]})
    annotations = pa.Table.from_pylist([{"video_id": "a"}], schema=ANNOTATIONS)
    assert match_videos(annotations, documents).annotations["video_id"].to_pylist() == ["a"]


def test_a_list_of_videos_names_them_by_id_or_file_or_is_refused(tmp_path: Path):
    documents = pa.table({"video_id": ["0a1b", "2c3d"], "uri": ["/talks/one.mp4", "/talks/v_two.mkv"]})
    listed = tmp_path / "held-out.csv"
    listed.write_text("verb,video_id\ncut,one\ncut,two\ncut,gone\n")
    assert listed_videos(str(listed), documents, tables="tables") == {"0a1b", "2c3d"}
    listed.write_text("video_id\nthree\nfour\n")
    with pytest.raises(UserError, match=r"held-out.csv: none of its 2 videos \(such as four\)"):
        listed_videos(str(listed), documents, tables="tables")


def test_a_column_that_a_task_needs_must_have_something():
    annotations = pa.Table.from_pylist(ROWS, schema=ANNOTATIONS)
    require_any(annotations, "a.csv", ["labels", "captions"])
    with pytest.raises(UserError, match=r"a.csv: no annotation has `question`"):
        require_any(annotations.slice(1), "a.csv", ["labels", "question"])


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_column_by_another_name_is_refused_with_ours(tmp_path: Path, extension: str):
    path = tmp_path / f"own.{extension}"
    table = pa.table({"video_id": ["a", "a"], "start": [10, 30], "end": [20, 40], "labels": ["cut", "fry"]})
    if extension == "csv":
        path.write_text("video_id,start,end,labels\na,10,20,cut\na,30,40,fry\n")
    elif extension == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    else:
        pyarrow.parquet.write_table(table, path)
    with pytest.raises(UserError, match="has a column `start` and no `start_seconds`, as a list of"):
        read_annotations(str(path))
