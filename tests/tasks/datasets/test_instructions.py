"""The formats are those of the data sets' own files; the rows are made up."""

from pathlib import Path
from typing import Any

from tests.tasks.datasets.reading import rows, write

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


def test_coin(tmp_path: Path):
    def video(subset: str, *steps: tuple[list[float], str]) -> dict[str, Any]:
        return {
            "duration": 131.0309,
            "class": "ReplaceCDDriveWithSSD",
            "video_url": "https://www.youtube.com/embed/LtRSn-ntcLY",
            "start": 56.64,
            "annotation": [{"id": "212", "segment": segment, "label": label} for segment, label in steps],
            "subset": subset,
            "end": 85.71,
            "recipe_type": 131,
        }

    database = {
        "LtRSn-ntcLY": video(
            "training", ([60.0, 69.0], "take out the laptop CD drive"), ([71, 82], "insert")
        ),
        "0IH69": video("training", ([5.5, 9.0], "insert")),
        "5MIjV7hHjwU": video("testing", ([1.0, 2.0], "insert")),
    }
    write(tmp_path / "COIN.json", {"database": database})
    assert rows("coin", tmp_path) == [
        {
            "video_id": "LtRSn-ntcLY",
            "split": "train",
            "start_seconds": 60.0,
            "end_seconds": 69.0,
            "labels": ["take out the laptop CD drive"],
        },
        {
            "video_id": "LtRSn-ntcLY",
            "split": "train",
            "start_seconds": 71.0,
            "end_seconds": 82.0,
            "labels": ["insert"],
        },
        {
            "video_id": "0IH69",
            "split": "validation",  # held out by its hash
            "start_seconds": 5.5,
            "end_seconds": 9.0,
            "labels": ["insert"],
        },
        {
            "video_id": "5MIjV7hHjwU",
            "split": "test",
            "start_seconds": 1.0,
            "end_seconds": 2.0,
            "labels": ["insert"],
        },
    ]


def test_crosstask(tmp_path: Path):
    write(
        tmp_path / "tasks_primary.txt",
        "23521\nMake Jello Shots\nhttps://www.wikihow.com/Make-Jello-Shots\n3\n"
        "pour water,pour jello powder,stir mixture\n\n"
        "59684\nBuild Simple Floating Shelves\nhttps://www.wikihow.com/Build-Simple-Floating-Shelves\n2\n"
        "cut shelve,assemble shelve\n\n",
    )
    url = "https://www.youtube.com/watch?v="
    write(tmp_path / "videos_val.csv", f"59684,a_B-cDeFgHi,{url}a_B-cDeFgHi\n")
    write(tmp_path / "annotations" / "23521_JKNSHRxwJFw.csv", "3,40.5,44.21\n1,12.0,18.4\n")
    write(tmp_path / "annotations" / "59684_a_B-cDeFgHi.csv", "2,3.0,7.5\n")
    write(tmp_path / "annotations" / "16815_zzzzzzzzzzz.csv", "1,3.0,7.5\n")  # not a primary task's
    assert rows("crosstask", tmp_path) == [
        {
            "video_id": "JKNSHRxwJFw",
            "split": "train",
            "start_seconds": 40.5,
            "end_seconds": 44.21,
            "labels": ["stir mixture"],
        },
        {
            "video_id": "JKNSHRxwJFw",
            "split": "train",
            "start_seconds": 12.0,
            "end_seconds": 18.4,
            "labels": ["pour water"],
        },
        {
            "video_id": "a_B-cDeFgHi",
            "split": "validation",
            "start_seconds": 3.0,
            "end_seconds": 7.5,
            "labels": ["assemble shelve"],
        },
    ]


EPIC_COLUMNS = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
    "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)


def test_epic_kitchens_100(tmp_path: Path):
    write(
        tmp_path / "EPIC_100_train.csv",
        EPIC_COLUMNS + "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,"
        "open door,open,3,door,3,['door'],[3]\n"
        + "P01_102_0,P01,P01_102,00:00:01.100,01:02:00.54,01:02:02.23,27,111,"
        "take knife and plate,take,0,knife,4,\"['knife', 'plate']\",\"[4, 2]\"\n",
    )
    write(
        tmp_path / "EPIC_100_validation.csv",
        EPIC_COLUMNS + "P01_11_1,P01,P01_11,00:00:02.310,00:00:02.00,00:00:04.00,100,200,"
        "switch the tap on,switch-on,6,tap,0,['tap'],[0]\n",
    )
    expected = [
        {
            "video_id": "P01_01",
            "split": "train",
            "start_seconds": 0.14,
            "end_seconds": 3.37,
            "labels": ["open door"],
            "captions": ["open door"],
        },
        {
            "video_id": "P01_102",
            "split": "train",
            "start_seconds": 3720.54,
            "end_seconds": 3722.23,
            "labels": ["take knife"],
            "captions": ["take knife and plate"],
        },
        {
            "video_id": "P01_11",
            "split": "validation",
            "start_seconds": 2.0,
            "end_seconds": 4.0,
            "labels": ["switch-on tap"],
            "captions": ["switch the tap on"],
        },
    ]
    assert rows("epic_kitchens_100", tmp_path) == expected
    write(
        tmp_path / "EPIC_100_verb_classes.csv",
        "id,key,instances,category\n3,open,\"['open', 'unlock']\",access\n"
        "6,turn-on,\"['turn-on', 'switch-on']\",manipulate\n0,take,\"['take', 'get']\",retrieve\n",
    )
    assert [row["labels"] for row in rows("epic_kitchens_100", tmp_path)] == [
        ["open door"],
        ["take knife"],
        ["turn-on tap"],
    ]
