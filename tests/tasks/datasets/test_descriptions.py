"""The formats are those of the data sets' own files; the rows are made up."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.tasks.datasets.reading import rows, write
from vbert.tasks.annotations import match_videos
from vbert.tasks.datasets import read_annotations


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


def test_msrvtts_clips_of_two_files_are_read_once(tmp_path: Path):
    msrvtt(tmp_path)
    once = rows("msrvtt", tmp_path)
    for path in list(tmp_path.glob("*videodatainfo*.json")):
        (tmp_path / f"copy_of_{path.name}").write_bytes(path.read_bytes())
    assert sorted(map(repr, rows("msrvtt", tmp_path))) == sorted(map(repr, once))


def msvd_mapping(folder: Path) -> None:
    write(
        folder / "youtube_mapping.txt",
        "-4wsuPCjDBc_5_15 vid1\nmv89psg6zh4_33_46 vid1200\n"
        "nb_1aXyz000_0_7 vid1201\nzzit5b_-ukg_5_20 vid1970\n",
    )


def test_msvd(tmp_path: Path):
    msvd_mapping(tmp_path)
    write(
        tmp_path / "AllVideoDescriptions.txt",
        "# Microsoft Research Video Description Corpus\n#\n\n"
        "mv89psg6zh4_33_46 A bird is bathing in a sink.\n"
        "mv89psg6zh4_33_46 A faucet is running while a bird stands below.\n"
        "nb_1aXyz000_0_7 a man cuts an onion\n"
        "zzit5b_-ukg_5_20 a dog runs\n"
        "-4wsuPCjDBc_5_15 a squirrel is eating a peanut in it's shell\n",
    )
    assert rows("msvd", tmp_path) == [
        {
            "video_id": "mv89psg6zh4_33_46",
            "split": "train",
            "captions": ["A bird is bathing in a sink.", "A faucet is running while a bird stands below."],
        },
        {"video_id": "nb_1aXyz000_0_7", "split": "validation", "captions": ["a man cuts an onion"]},
        {"video_id": "zzit5b_-ukg_5_20", "split": "test", "captions": ["a dog runs"]},
        {
            "video_id": "-4wsuPCjDBc_5_15",
            "split": "train",
            "captions": ["a squirrel is eating a peanut in it's shell"],
        },
    ]


def test_msvds_table_and_questions(tmp_path: Path):
    msvd_mapping(tmp_path)
    write(
        tmp_path / "MSR Video Description Corpus.csv",
        "VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
        "mv89psg6zh4,33,46,588702,unverified,55,Slovene,Papagaj se umiva pod tekočo vodo v lijaku.\n"
        'mv89psg6zh4,33,46,588702,clean,55,English,"A bird, in a sink."\n'
        "zzit5b_-ukg,5,20,588702,clean,55,English,\n"
        "gone0000000,1,9,588702,clean,55,English,A cat.\n",
    )
    question = {"id": 30933, "video_id": 1201, "question": "What does a man cut?", "answer": "onion"}
    write(tmp_path / "val_qa.json", [question])
    assert rows("msvd", tmp_path) == [
        {"video_id": "mv89psg6zh4_33_46", "split": "train", "captions": ["A bird, in a sink."]},
        {
            "video_id": "nb_1aXyz000_0_7",
            "split": "validation",
            "question": "What does a man cut?",
            "question_type": "what",
            "answer": "onion",
        },
    ]


def test_vatex(tmp_path: Path):
    def clip(name: str, *captions: str) -> dict[str, Any]:
        return {"videoID": name, "enCap": list(captions), "chCap": ["一个人跑步。"]}

    write(
        tmp_path / "vatex_training_v1.0.json",
        [clip("Ptf_2VRj-V0_000122_000132", "A man juggles.", " Someone throws balls.")],
    )
    write(tmp_path / "vatex_validation_v1.0.json", [clip("2MteIqf7N_8_000065_000075", "A dog runs.")])
    write(tmp_path / "vatex_public_test_english_v1.1.json", [clip("---QUuC4vJs_000084_000094", "A woman.")])
    write(
        tmp_path / "vatex_private_test_without_annotations.json", [{"videoID": "-0CEPVEXd84_000096_000106"}]
    )
    assert rows("vatex", tmp_path) == [
        {"video_id": "---QUuC4vJs_000084_000094", "split": "test", "captions": ["A woman."]},
        {
            "video_id": "Ptf_2VRj-V0_000122_000132",
            "split": "train",
            "captions": ["A man juggles.", "Someone throws balls."],
        },
        {"video_id": "2MteIqf7N_8_000065_000075", "split": "validation", "captions": ["A dog runs."]},
    ]
    assert len(rows("vatex", tmp_path / "vatex_training_v1.0.json")) == 1


def test_didemo_takes_the_interval_of_most_people(tmp_path: Path):
    def moment(video: str, times: list[list[int]]) -> dict[str, Any]:
        return {
            "annotation_id": 39,
            "description": " camera zooms in on group of women.",
            "dl_link": "https://www.flickr.com/video_download.gne?id=2408598493",
            "num_segments": 6,
            "reference_description": "",
            "times": times,
            "video": video,
        }

    write(
        tmp_path / "train_data.json",
        [moment("54322086@N00_2408598493_274c77d26a.avi", [[1, 4], [0, 0], [0, 0], [2, 2]])],
    )
    write(tmp_path / "val_data.json", [moment("12090392@N02_13482799053_87ef417396.mov", [[3, 3], [5, 5]])])
    assert rows("didemo", tmp_path) == [
        {
            "video_id": "54322086@N00_2408598493_274c77d26a.avi",
            "split": "train",
            "start_seconds": 0.0,
            "end_seconds": 5.0,
            "captions": ["camera zooms in on group of women."],
        },
        {
            "video_id": "12090392@N02_13482799053_87ef417396.mov",
            "split": "validation",
            "start_seconds": 15.0,
            "end_seconds": 20.0,
            "captions": ["camera zooms in on group of women."],
        },
    ]


def test_didemos_videos_are_found_under_both_names_that_its_scripts_give_them(tmp_path: Path):
    names = ["1@N00_2_a.avi", "3@N00_4_b.mov"]
    write(
        tmp_path / "train_data.json",
        [{"video": name, "times": [[0, 0]], "description": "a dog"} for name in names],
    )
    documents = pa.table({"video_id": ["i0", "i1"], "uri": ["/d/1@N00_2_a.avi.mp4", "/d/3@N00_4_b.mov"]})
    matched = match_videos(read_annotations(str(tmp_path), dataset="didemo"), documents)
    assert matched.annotations["video_id"].to_pylist() == ["i0", "i1"]
