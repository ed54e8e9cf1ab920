"""The formats are those of the data sets' own files; the scores are made up."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.tasks.datasets.reading import rows, write
from vbert.errors import UserError
from vbert.tasks.datasets import read_annotations

INFO = (
    "category\tvideo_id\ttitle\turl\tlength\n"
    'VT\tAwmHb44_ouw\t#1 How to change "tires"\thttp://www.youtube.com/watch?v=AwmHb44_ouw\t0:05\n'
    "VT\tJ0nA4VgnoCo\tVlog\thttp://www.youtube.com/watch?v=J0nA4VgnoCo\t1:04\n"
)


def test_tvsum_is_the_mean_of_its_raters_every_two_seconds(tmp_path: Path):
    write(tmp_path / "ydata-tvsum50-info.tsv", INFO)
    write(
        tmp_path / "ydata-tvsum50-anno.tsv",  # 2 frames a second: a shot is 4 frames long
        "AwmHb44_ouw\tVT\t1,1,1,1,3,3,3,3,2,2\n"
        "AwmHb44_ouw\tVT\t2,2,2,2,5,5,5,5,2,2\n"
        f"J0nA4VgnoCo\tVT\t{','.join(['4'] * 32)}\n",
    )
    found = rows("tvsum", tmp_path)
    assert found[:3] == [
        {
            "video_id": "AwmHb44_ouw",
            "split": "train",
            "start_seconds": 0.0,
            "end_seconds": 2.0,
            "importance": 1.5,
        },
        {
            "video_id": "AwmHb44_ouw",
            "split": "train",
            "start_seconds": 2.0,
            "end_seconds": 4.0,
            "importance": 4.0,
        },
        {
            "video_id": "AwmHb44_ouw",
            "split": "train",
            "start_seconds": 4.0,
            "end_seconds": 5.0,
            "importance": 2.0,
        },
    ]
    assert [row["end_seconds"] for row in found[3:]] == [2.0 * shot for shot in range(1, 33)]
    assert {(row["video_id"], row["split"], row["importance"]) for row in found[3:]} == {
        ("J0nA4VgnoCo", "validation", 4.0)
    }


def save_mat(path: Path, **changes: object) -> Path:
    """As SumMe's: 10 frames at 2.5 a second by three people, the first frames of whom are in summaries."""
    people = np.zeros((10, 3))
    people[:6, 0] = 1
    people[2:7, 1] = 2  # not 1: the number of the part
    content = {
        "user_score": people,
        "gt_score": (people > 0).mean(1, keepdims=True),
        "FPS": 2.5,
        "nFrames": 10,
        "video_duration": 4.0,
    }
    scipy.io.savemat(
        path, {k: v for k, v in (content | changes).items() if v is not None}, do_compression=True
    )
    return path


def test_summe_is_the_share_of_people_who_took_a_part(tmp_path: Path):
    save_mat(tmp_path / "Cooking.mat")
    save_mat(tmp_path / "Statue of Liberty.mat", gt_score=np.full((4, 1), 0.25))
    expected = [
        {
            "video_id": "Cooking",
            "split": "validation",
            "start_seconds": 0.0,
            "end_seconds": 2.0,
            "importance": pytest.approx((1 + 1 + 2 + 2 + 2) / 3 / 5),
        },
        {
            "video_id": "Cooking",
            "split": "validation",
            "start_seconds": 2.0,
            "end_seconds": 4.0,
            "importance": pytest.approx((2 + 1) / 3 / 5),
        },
    ]
    assert rows("summe", tmp_path / "Cooking.mat") == expected
    assert rows("summe", tmp_path) == [
        *expected,
        {
            "video_id": "Statue of Liberty",
            "split": "test",
            "start_seconds": 0.0,
            "end_seconds": 1.6,
            "importance": 0.25,
        },
    ]


def test_summes_videos_are_in_all_splits():
    """The others are for training. The names are those of the authors' files."""
    from vbert.tasks.annotations import split_of

    names = [
        "Car_railcrossing",
        "Cooking",
        "Scuba",
        "Statue of Liberty",
        "Uncut_Evening_Flight",
        "Air_Force_One",
    ]
    assert [split_of(name) for name in names] == ["validation"] * 2 + ["test"] * 3 + ["train"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt_score": None}, "has no `gt_score`"),
        ({"FPS": 0.0}, r"its 10 scores or 0.0 frames a second are not as they should be"),
        ({"gt_score": np.full((3, 1), np.nan)}, r"its 3 scores or 2.5 frames a second"),
        ({"FPS": np.ones((2, 2))}, "not as the authors of summe write it"),
        ({"gt_score": np.array(["a"])}, "not as the authors of summe write it"),
    ],
)
def test_a_mat_file_of_something_else_is_one_line(tmp_path: Path, changes: dict[str, object], message: str):
    path = save_mat(tmp_path / "a.mat", **changes)
    with pytest.raises(UserError, match=message) as error:
        read_annotations(str(path), dataset="summe")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 1, 100, 200, 300])
def test_a_mat_file_that_is_cut_off_is_one_line(tmp_path: Path, length: int):
    path = save_mat(tmp_path / "a.mat")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"a\.mat: ") as error:
        read_annotations(str(path), dataset="summe")
    assert "\n" not in str(error.value)


def test_tvsums_matlab_file_is_refused_with_what_to_give_instead(tmp_path: Path):
    with pytest.raises(
        UserError, match=r"tvsum50.mat: is HDF5, .* give the folder of ydata-tvsum50-anno.tsv"
    ):
        read_annotations(str(tmp_path / "ydata-tvsum50.mat"), dataset="tvsum")
