"""The formats are those of the data sets' own files; the rows are made up."""

import json
from pathlib import Path
from typing import Any

import pytest

from vbert.errors import UserError
from vbert.tasks.datasets import OFFICIAL, read_annotations

YOUCOOK2 = {
    "database": {
        "GLd3aX16zBg": {
            "duration": 241.62,
            "subset": "training",
            "recipe_type": "113",
            "annotations": [
                {"segment": [90, 102], "id": 0, "sentence": "spread margarine on two slices of white bread"},
                {"segment": [127, 114], "id": 1, "sentence": " place a slice of cheese on the bread"},
            ],
            "video_url": "https://www.youtube.com/watch?v=GLd3aX16zBg",
        },
        "xHr8X2Wpmno": {
            "duration": 311.8,
            "subset": "validation",
            "recipe_type": "405",
            "annotations": [{"segment": [7, 20], "id": 0, "sentence": "pick the ends off the verdolagas"}],
            "video_url": "https://www.youtube.com/watch?v=xHr8X2Wpmno",
        },
    }
}
ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [],
    "database": {
        "sJbt7PdeG3U": {
            "duration": 55.66,
            "subset": "training",
            "resolution": "320x240",
            "url": "https://www.youtube.com/watch?v=sJbt7PdeG3U",
            "annotations": [
                {"segment": [0.01, 20.5], "label": "Table soccer"},
                {"segment": [30.0, 55.66], "label": "Table soccer"},
            ],
        },
        "QVbT39K5I1Y": {"duration": 184.6, "subset": "testing", "annotations": []},
        "LEPWZh5JqNo": {
            "duration": 80.1,
            "subset": "validation",
            "annotations": [{"segment": [11.2, 70.0], "label": "Making a lemonade"}],
        },
    },
}


def rows(dataset: str, source: Path) -> list[dict[str, Any]]:
    """Without what is null."""
    found = read_annotations(str(source), dataset=dataset).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_youcook2(tmp_path: Path):
    write(tmp_path / "youcookii_annotations_trainval.json", YOUCOOK2)
    write(tmp_path / "label_foodtype.csv", "113,grilled cheese\n405,verdolagas con puerco\n")
    expected = [
        {
            "video_id": "GLd3aX16zBg",
            "split": "train",
            "start_seconds": 90.0,
            "end_seconds": 102.0,
            "labels": ["grilled cheese"],
            "captions": ["spread margarine on two slices of white bread"],
        },
        {
            "video_id": "GLd3aX16zBg",
            "split": "train",
            "start_seconds": 114.0,  # the other way round in the file
            "end_seconds": 127.0,
            "labels": ["grilled cheese"],
            "captions": ["place a slice of cheese on the bread"],
        },
        {
            "video_id": "xHr8X2Wpmno",
            "split": "validation",
            "start_seconds": 7.0,
            "end_seconds": 20.0,
            "labels": ["verdolagas con puerco"],
            "captions": ["pick the ends off the verdolagas"],
        },
    ]
    assert rows("youcook2", tmp_path) == expected
    assert rows("youcook2", tmp_path / "youcookii_annotations_trainval.json") == expected
    (tmp_path / "label_foodtype.csv").unlink()
    assert rows("youcook2", tmp_path)[0]["labels"] == ["113"]


def test_activitynet(tmp_path: Path):
    found = rows("activitynet", write(tmp_path / "activity_net.v1-3.min.json", ACTIVITYNET))
    assert [(row["video_id"], row["split"], row["labels"]) for row in found] == [
        ("sJbt7PdeG3U", "train", ["Table soccer"]),
        ("sJbt7PdeG3U", "train", ["Table soccer"]),
        ("LEPWZh5JqNo", "validation", ["Making a lemonade"]),
    ]
    assert (found[1]["start_seconds"], found[1]["end_seconds"]) == (30.0, 55.66)


def test_activitynet_captions_have_two_references_for_validation(tmp_path: Path):
    train = {
        "v_QOlSCBRmfWY": {
            "duration": 82.73,
            "timestamps": [[0.83, 19.86], [17.37, 60.81]],
            "sentences": ["A young woman is seen standing in a room.", " The girl continues dancing around."],
        }
    }
    first = {
        "v_uqiMw7tQ1Cc": {"duration": 55.15, "timestamps": [[0.28, 55.15]], "sentences": ["A weight lifter."]}
    }
    second = {
        "v_uqiMw7tQ1Cc": {"duration": 55.15, "timestamps": [[0, 13.79]], "sentences": ["He bends down."]}
    }
    for name, content in (("train", train), ("val_1", first), ("val_2", second)):
        write(tmp_path / f"{name}.json", content)
    found = rows("activitynet_captions", tmp_path)
    assert [(row["split"], row["start_seconds"], row["captions"]) for row in found] == [
        ("train", 0.83, ["A young woman is seen standing in a room."]),
        ("train", 17.37, ["The girl continues dancing around."]),
        ("validation", 0.28, ["A weight lifter."]),
        ("validation", 0.0, ["He bends down."]),
    ]


def test_activitynet_qa(tmp_path: Path):
    for split, number, answer in (("train", "1QIUV7WYKXg_3", "yes"), ("test", "uqiMw7tQ1Cc_5", "3")):
        video = number.rsplit("_", 1)[0]
        question = {"video_name": video, "question": f"is it {split}", "question_id": number}
        kind = 3 if answer == "yes" else 7
        write(tmp_path / f"{split}_q.json", [question])
        write(tmp_path / f"{split}_a.json", [{"answer": answer, "type": kind, "question_id": number}])
    assert rows("activitynet_qa", tmp_path) == [
        {
            "video_id": "1QIUV7WYKXg",
            "split": "train",
            "question": "is it train",
            "question_type": "yes/no",
            "answer": "yes",
        },
        {
            "video_id": "uqiMw7tQ1Cc",
            "split": "test",
            "question": "is it test",
            "question_type": "number",
            "answer": "3",
        },
    ]


def test_howto100m(tmp_path: Path):
    write(
        tmp_path / "HowTo100M_v1.csv",
        "video_id,category_1,category_2,rank,task_id\n"
        "nVbIUDjzWY4,Cars & Other Vehicles,Motorcycles,27,52907\n"
        "CTPAZ2euJ2Q,Cars & Other Vehicles,Motorcycles,35,109057\n"
        "0AvhqK_j1dY,,,3,11\n",
    )
    found = rows("howto100m", tmp_path)
    assert [row["labels"] for row in found] == [["Cars & Other Vehicles", "Motorcycles"]] * 2 + [[]]
    assert found == rows("howto100m", tmp_path / "HowTo100M_v1.csv")
    assert {row["split"] for row in found} <= {"train", "validation", "test"}


def msrvtt(folder: Path) -> None:
    videos = [("video0", "train", 9), ("video6513", "validate", 16), ("video7020", "test", 1)]
    write(
        folder / "videodatainfo_2017.json",
        {
            "info": {"year": "2016"},
            "videos": [
                {
                    "category": category,
                    "url": "https://www.youtube.com/watch?v=9lZi22qLlEo",
                    "video_id": name,
                    "start time": 137.72,
                    "end time": 149.44,
                    "split": split,
                    "id": number,
                }
                for number, (name, split, category) in enumerate(videos)
            ],
            "sentences": [
                {"caption": "a car is shown", "video_id": "video0", "sen_id": 0},
                {"caption": "a boy sings", "video_id": "video7020", "sen_id": 1},
                {"caption": "a group drives", "video_id": "video0", "sen_id": 2},
                {"caption": "two men talk", "video_id": "video6513", "sen_id": 3},
            ],
        },
    )


def test_msrvtt(tmp_path: Path):
    msrvtt(tmp_path)
    found = rows("msrvtt", tmp_path)
    assert [(row["video_id"], row["split"], row["labels"], row["captions"]) for row in found] == [
        ("video0", "train", ["9"], ["a car is shown", "a group drives"]),
        ("video6513", "validation", ["16"], ["two men talk"]),
        ("video7020", "test", ["1"], ["a boy sings"]),
    ]
    assert "start_seconds" not in found[0]  # its files are the clips


def test_msrvtts_retrieval_split_and_questions(tmp_path: Path):
    msrvtt(tmp_path)
    write(
        tmp_path / "MSRVTT_JSFUSION_test.csv",
        "key,vid_key,video_id,sentence\nret0,msr6513,video6513,two men talk to each other\n",
    )
    question = {"answer": "car", "category_id": 9, "id": 4, "question": "what is shown?", "video_id": 0}
    write(tmp_path / "val_qa.json", [question])
    found = rows("msrvtt", tmp_path)
    assert [(row["video_id"], row["split"]) for row in found] == [
        ("video0", "train"),
        ("video6513", "test"),
        ("video7020", "train"),
        ("video0", "validation"),
    ]
    assert found[1]["captions"] == ["two men talk to each other"]
    assert found[3]["question_type"] == "what"
    assert (found[3]["question"], found[3]["answer"]) == ("what is shown?", "car")


@pytest.mark.parametrize("dataset", OFFICIAL)
def test_a_folder_without_the_files_is_the_users_mistake(dataset: str, tmp_path: Path):
    with pytest.raises(UserError, match=str(tmp_path)):
        read_annotations(str(tmp_path), dataset=dataset)


def broken(change: Any) -> Any:
    content = json.loads(json.dumps(YOUCOOK2))
    change(content["database"]["GLd3aX16zBg"])
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ({"data": {}}, "has no `database`; is this the data set"),
        ({"database": []}, "is no object by video id"),
        (broken(lambda video: video.pop("subset")), r"database\['GLd3aX16zBg'\]: has no `subset`"),
        (broken(lambda video: video.update(subset="dev")), "'dev' is no split; known are train"),
        (
            broken(lambda video: video["annotations"][1].update(segment=[1, "x"])),
            r"database\['GLd3aX16zBg'\].annotations\[1\].segment: \[1, 'x'\] is no pair of seconds",
        ),
        ({"database": {}}, "has no annotations of youcook2"),
    ],
)
def test_a_broken_file_is_named_with_the_place(content: Any, message: str, tmp_path: Path):
    path = write(tmp_path / "youcookii_annotations_trainval.json", content)
    with pytest.raises(UserError, match=message) as caught:
        read_annotations(str(path), dataset="youcook2")
    assert str(path) in str(caught.value)


def test_msrvtts_clips_of_two_files_are_read_once(tmp_path: Path):
    msrvtt(tmp_path)
    once = rows("msrvtt", tmp_path)
    for path in list(tmp_path.glob("*videodatainfo*.json")):
        (tmp_path / f"copy_of_{path.name}").write_bytes(path.read_bytes())
    assert sorted(map(repr, rows("msrvtt", tmp_path))) == sorted(map(repr, once))


@pytest.mark.parametrize(
    ("dataset", "name", "text"),
    [
        (
            "youcook2",
            "youcookii_annotations_trainval.json",
            '{"database": {"a": {"recipe_type": "1", "annotations": 3}}}',
        ),
        ("activitynet_captions", "train.json", "[1]"),
        ("activitynet_captions", "train.json", '{"a": {"timestamps": [[0, NaN]], "sentences": ["x"]}}'),
        ("activitynet_captions", "train.json", '{"a": {"timestamps": 1, "sentences": 2}}'),
        ("activitynet_captions", "train.json", "[" * 100_000),
        ("msrvtt", "test_videodatainfo.json", '{"sentences": null, "videos": null}'),
        ("msrvtt", "own_qa.json", "[]"),
        ("activitynet_qa", "train_q.json", "null"),
    ],
)
def test_what_no_author_has_written_is_one_line(tmp_path: Path, dataset: str, name: str, text: str):
    (tmp_path / name).write_text(text)
    (tmp_path / "train_a.json").write_text("null")
    with pytest.raises(UserError) as error:
        read_annotations(str(tmp_path), dataset=dataset)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
