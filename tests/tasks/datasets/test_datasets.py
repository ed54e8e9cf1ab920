"""What all readers have in common, and the list of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.datasets.reading import write
from tests.tasks.datasets.test_instructions import YOUCOOK2
from vbert.errors import UserError
from vbert.tasks.datasets import OFFICIAL, read_annotations


def test_the_options_and_the_docs_name_every_data_set():
    docs = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text()
    source = (Path(__file__).parents[3] / "vbert" / "distributed" / "finetune.py").read_text()
    words = set(re.findall(r"\w+", source.partition("    dataset: str")[2].partition("num_epochs")[0]))
    assert [name for name in OFFICIAL if f"`{name}`" not in docs or name not in words] == []


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


# What stands beside the file that is wrong.
RIGHT = {
    "activitynet_qa": {"train_a.json": "null"},
    "msvd": {"youtube_mapping.txt": "-4wsuPCjDBc_5_15 vid1\n"},
    "crosstask": {
        "tasks_primary.txt": "23521\nMake Jello Shots\nhttps://\n2\npour water,stir mixture\n",
        "videos_val.csv": "23521,a,https://www.youtube.com/watch?v=a\n",
    },
    "ucf101": {"testlist01.txt": "Archery/v_Archery_g01_c05.avi\n"},
    "charades": {"Charades_v1_classes.txt": "c092 Watching a laptop\n"},
    "tvsum": {
        "ydata-tvsum50-info.tsv": "video_id\tlength\na\t1:00\n",
        "ydata-tvsum50-anno.tsv": "a\tVT\t1,2\n",
    },
}


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
        ("msvd", "AllVideoDescriptions.txt", "mv89psg6zh4_33_46\n"),
        ("msvd", "train_qa.json", '[{"video_id": 9, "question": "who?", "answer": "he"}]'),
        ("msvd", "video_corpus.csv", "video_id,sentence\na,b\n"),
        ("vatex", "vatex_training_v1.0.json", '[{"videoID": "a", "enCap": 3}]'),
        ("didemo", "val_data.json", '[{"video": "a", "times": [], "description": "b"}]'),
        ("didemo", "val_data.json", '[{"video": "a", "times": [["x", "y"]], "description": "b"}]'),
        ("coin", "COIN.json", '{"database": {"a": {"subset": "training", "annotation": [[]]}}}'),
        ("crosstask", "tasks_primary.txt", "23521\nMake Jello Shots\nhttps://\n2\npour water\n"),
        ("crosstask", "annotations/23521_a.csv", "3,1.0,2.0\n"),
        ("crosstask", "videos_val.csv", "a,b\n"),
        ("epic_kitchens_100", "EPIC_100_train.csv", "video_id,verb\nP01_01,open\n"),
        ("kinetics", "train.csv", "label,youtube_id,time_start,time_end,split\nfry,a,ten,20,train\n"),
        ("kinetics", "train.csv", "label,youtube_id,time_start,time_end,split\nfry,a,10,20,holdout\n"),
        ("ucf101", "trainlist01.txt", "v_Archery_g01_c05.mp4\n"),
        ("hmdb51", "wave_test_split1.txt", "a_wave_u.avi 3\n"),
        ("something_something_v2", "train.json", '[{"id": "1", "label": "x", "template": 1}]'),
        ("charades", "Charades_v1_train.csv", "id,actions\nA,c999 1 2\n"),
        ("tvsum", "ydata-tvsum50-anno.tsv", "a\tVT\t1,2\na\tVT\t1,2,3\n"),
        ("tvsum", "ydata-tvsum50-anno.tsv", "b\tVT\t1,2\n"),
        ("tvsum", "ydata-tvsum50-info.tsv", "video_id\tlength\na\tlong\n"),
        ("summe", "Cooking.mat", "gt_score,FPS"),
    ],
)
def test_what_no_author_has_written_is_one_line(tmp_path: Path, dataset: str, name: str, text: str):
    for beside, right in RIGHT.get(dataset, {}).items():
        write(tmp_path / beside, right)
    write(tmp_path / name, text)
    with pytest.raises(UserError) as error:
        read_annotations(str(tmp_path), dataset=dataset)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
