"""Recorded demonstrations: what is said is what the world asked for and what the last picture shows."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
from minigrid.core.constants import COLORS as RGB

from demo.grounded_corpus import (
    HELD_OUT,
    HELD_OUT_SHARE,
    MISSIONS_A_VIDEO,
    NEW_PAIRS,
    TILE,
    TRAINING_PAIRS,
    demonstration,
    record_corpus,
)
from vbert.text.transcripts import read_transcript
from vbert.video.media import probe_video


def test_every_colour_and_every_kind_is_in_some_pair_that_is_trained_on():
    assert len(TRAINING_PAIRS) == 18 - len(HELD_OUT) == 14
    for at in (0, 1):
        assert {pair[at] for pair in HELD_OUT} <= {pair[at] for pair in TRAINING_PAIRS}


@pytest.mark.parametrize("pairs", [TRAINING_PAIRS, HELD_OUT], ids=["trained on", "held out"])
def test_a_mission_names_a_pair_and_ends_in_front_of_it(pairs: frozenset[tuple[str, str]]):
    chance = random.Random(5)
    num_in_front = 0
    for _ in range(6):
        (color, kind), mission, frames = demonstration(pairs, chance)
        assert (color, kind) in pairs
        assert mission.split()[-2:] == [color, kind]
        assert {frame.shape for frame in frames} == {(222, 222, 3)}
        if mission.startswith("go to"):
            ahead = frames[-1][TILE : 2 * TILE, TILE : 2 * TILE].astype(int)
            # What is seen is drawn 30 % lighter than the package's colour.
            lighter = RGB[color] + 0.3 * (255 - RGB[color])
            assert (np.abs(ahead - lighter).max(-1) < 12).mean() > 0.02
            num_in_front += 1
    assert num_in_front


@pytest.mark.slow
def test_videos_say_what_they_show_and_only_held_out_ones_have_new_pairs(tmp_path: Path):
    numbers = [n for n in range(40) if random.Random(n).random() < HELD_OUT_SHARE]
    videos = record_corpus(tmp_path, num_videos=numbers[0] + 1)
    assert [video["split"] for video in videos] == ["train"] * numbers[0] + ["heldout"]
    for video in videos:
        pairs = {(step["color"], step["object"]) for step in video["steps"]}
        assert len(video["steps"]) == MISSIONS_A_VIDEO
        assert bool(pairs & HELD_OUT) == (video["split"] == "heldout")
        found = probe_video(str(tmp_path / f"{video['name']}.mp4"))
        assert found.duration_seconds == pytest.approx(video["steps"][-1]["end"], abs=0.01)
        said = [sentence.text.lower() for sentence in read_transcript(str(tmp_path / f"{video['name']}.vtt"))]
        assert said == [f"{step['mission']}." for step in video["steps"]]
    with (tmp_path / NEW_PAIRS).open() as file:
        asked = list(csv.DictReader(file))
    assert {row["video_id"] for row in asked} == {videos[-1]["name"]}
    assert {(row["verb"], row["object"]) for row in asked} <= HELD_OUT
    rows = [json.loads(line) for line in (tmp_path / "color.jsonl").read_text().splitlines()]
    labels = [row["labels"] for row in rows if "labels" in row]
    assert labels == [[step["color"]] for video in videos for step in video["steps"]]
