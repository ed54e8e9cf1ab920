"""Files with the captions of a whole data set."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from vbert.errors import UserError
from vbert.text.caption_files import captions_of, read_caption_file

# The shapes are the data sets' own, the words are not.
HOWTO100M = {
    "a1B2c3D4e5F": {
        "start": [0.0, 2.5, 9.0],
        "end": [2.5, 4.0, 10.0],
        "text": ["today we will wash", "the rice", "then boil it"],
    },
    "noSpeech_00": {"start": [], "end": [], "text": []},
}
YOUCOOK2 = {
    "database": {
        "GLd3aX16zBg": {
            "duration": 241.62,
            "subset": "training",
            "recipe_type": "113",
            "video_url": "https://www.youtube.com/watch?v=GLd3aX16zBg",
            "annotations": [
                {"segment": [114, 127], "id": 1, "sentence": "put the cheese on the bread "},
                {"segment": [90, 102], "id": 0, "sentence": "spread butter on two slices"},
            ],
        }
    }
}
ACTIVITYNET = {
    "v_QOlSCBRmfWY": {
        "duration": 82.73,
        "timestamps": [[0.83, 19.86], [60.81, 17.37]],
        "sentences": ["A woman stands in a kitchen.", " She begins to juggle. "],
    }
}


def write(folder: Path, content: Any) -> str:
    path = folder / "captions.json"
    path.write_text(json.dumps(content))
    return str(path)


def rows(path: str) -> dict[str, list[tuple[str, float, float]]]:
    return {
        name: [(said.text, round(said.start_seconds, 6), round(said.end_seconds, 6)) for said in sentences]
        for name, sentences in read_caption_file(path).items()
    }


def test_howto100m_pieces_of_speech_become_sentences(tmp_path: Path):
    # No full stop anywhere: the pause of 5 s ends the first.
    assert rows(write(tmp_path, HOWTO100M)) == {
        "a1B2c3D4e5F": [("Today we will wash the rice.", 0.0, 4.0), ("Then boil it.", 9.0, 10.0)],
        "noSpeech_00": [],
    }


def test_howto100m_pieces_that_stay_on_screen_keep_their_words_together(tmp_path: Path):
    # As the file has it: a piece leaves the screen when the next but one begins.
    video = {
        "start": [0.0, 2.0, 4.0],
        "end": [4.0, 6.0, 6.0],
        "text": ["add a cup of", "flour and two", "eggs to it"],
    }
    assert rows(write(tmp_path, {"x": video})) == {
        "x": [("Add a cup of flour and two eggs to it.", 0.0, 6.0)]
    }


def test_howto100m_missing_text_is_no_text(tmp_path: Path):
    video = {"start": [0, 1], "end": [1, 2], "text": [float("nan"), "hello"]}
    assert rows(write(tmp_path, {"x": video})) == {"x": [("Hello.", 1.0, 2.0)]}


def test_youcook2_annotations_come_in_time_order(tmp_path: Path):
    assert rows(write(tmp_path, YOUCOOK2)) == {
        "GLd3aX16zBg": [
            ("spread butter on two slices", 90.0, 102.0),
            ("put the cheese on the bread", 114.0, 127.0),
        ]
    }


def test_activitynet_captions_spans_are_put_in_order(tmp_path: Path):
    assert rows(write(tmp_path, ACTIVITYNET)) == {
        "v_QOlSCBRmfWY": [
            ("A woman stands in a kitchen.", 0.83, 19.86),
            ("She begins to juggle.", 17.37, 60.81),
        ]
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "a list is no captions' file"),
        ({}, "an empty object is no captions' file"),
        ({"info": {"x": 1}}, "an object with 'info' is no captions' file"),
        ({"v": {"start": [0], "end": [1, 2], "text": ["a"]}}, "a video's entry is broken"),
        ({"database": {"v": {"annotations": [{"segment": [1, 2]}]}}}, "a video's entry is broken"),
        ({"v": {"timestamps": [[1]], "sentences": ["a"]}}, "a video's entry is broken"),
    ],
)
def test_another_shape_is_one_line_that_says_what_was_found(tmp_path: Path, content: Any, message: str):
    with pytest.raises(UserError, match=message) as error:
        read_caption_file(write(tmp_path, content))
    assert "captions.json: " in str(error.value)
    assert "HowTo100M" in str(error.value)


def test_a_missing_file_or_one_that_is_not_json_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"No such file or directory.*correct --captions"):
        read_caption_file(str(tmp_path / "none.json"))
    (tmp_path / "text.json").write_text("WEBVTT")
    with pytest.raises(UserError, match="not JSON"):
        read_caption_file(str(tmp_path / "text.json"))


def of_activitynet(**sentences: str) -> dict[str, Any]:
    return {
        name: {"duration": 10, "timestamps": [[0, 4.0]] if text else [], "sentences": [text] if text else []}
        for name, text in sentences.items()
    }


def test_captions_find_their_videos_by_id_file_name_and_that_without_v_(tmp_path: Path):
    uris = ["/a/pancake.mp4", "/a/v_bikes.mkv", "/a/plain.mp4", "/a/v_plain.mp4", "/a/mute.mp4", "/a/x.mp4"]
    videos = pa.table({"video_id": ["i0", "i1", "i2", "i3", "i4", "x2"], "uri": uris})
    said = of_activitynet(
        i0="By id.", pancake="By name.", bikes="Without.", plain="Plain.", v_plain="Exact.", mute="", v_x="X."
    )
    captions, num_ambiguous = captions_of(videos, write(tmp_path, said))
    found = {name: sentences[0].text for name, sentences in captions.items()}
    assert found == {"i0": "By id.", "i1": "Without.", "i2": "Plain.", "i3": "Exact.", "x2": "X."}
    assert num_ambiguous == 0


def test_a_name_of_several_videos_is_none_of_them_and_counted(tmp_path: Path):
    videos = pa.table({"video_id": ["i0", "i1", "i2"], "uri": ["/a/talk.mp4", "/b/talk.mp4", "/c/x.mp4"]})
    captions, num_ambiguous = captions_of(videos, write(tmp_path, of_activitynet(talk="Whose?", x="X.")))
    assert (list(captions), num_ambiguous) == (["i2"], 1)


def test_captions_of_other_videos_are_an_error(tmp_path: Path):
    videos = pa.table({"video_id": ["i0"], "uri": ["/a/talk.mp4"]})
    with pytest.raises(
        UserError, match=r"none of its 1 videos \(such as v_zzz\) is among those with features"
    ):
        captions_of(videos, write(tmp_path, of_activitynet(v_zzz="Nobody.")))
