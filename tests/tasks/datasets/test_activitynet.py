"""The formats are those of the data sets' own files; the rows are made up."""

from pathlib import Path

from tests.tasks.datasets.reading import rows, write

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
