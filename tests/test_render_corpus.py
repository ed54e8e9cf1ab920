"""The demo's corpus: what is shown is said, and held-out pairs stay out of training."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from demo import render_corpus as corpus
from demo.foods import OBJECTS
from demo.render_corpus import HELD_OUT, render_corpus, write_script
from demo.scenes import HEIGHT, VERBS, WIDTH, Scene, _grain
from vbert.text.transcripts import read_transcript
from vbert.video.media import probe_video


def test_training_videos_never_show_or_say_a_held_out_pair():
    scripts = [write_script(number, seed=3) for number in range(400)]
    pairs = {
        split: {
            (step.verb, step.object) for script in scripts if script.split == split for step in script.steps
        }
        for split in ("train", "heldout")
    }
    assert not pairs["train"] & HELD_OUT
    assert len(pairs["train"]) == 80 - 8 == len(VERBS) * len(OBJECTS) - len(HELD_OUT)
    assert pairs["heldout"] >= HELD_OUT
    assert 50 < sum(script.split == "heldout" for script in scripts) < 110  # 80 expected


def test_every_verb_and_object_is_held_out_in_some_pair_only():
    assert {verb for verb, _ in HELD_OUT} == set(VERBS)
    assert len({thing for _, thing in HELD_OUT}) == 8


@pytest.mark.slow
def test_a_video_lasts_as_long_as_its_steps_and_its_transcript_names_them(tmp_path: Path):
    assert render_corpus(tmp_path, num_videos=2, seed=1, num_workers=2) == 2
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.mp4")}
    assert render_corpus(tmp_path, num_videos=2, seed=1, num_workers=1) == 0
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.mp4")} == before
    with (tmp_path / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        steps = json.loads(row["steps"])
        duration_seconds = probe_video(str(tmp_path / row["video"])).duration_seconds
        assert duration_seconds == pytest.approx(steps[-1]["end"], abs=0.1)
        sentences = read_transcript(str(tmp_path / row["transcript"]))
        for step in steps:
            said = [
                sentence.text.lower()
                for sentence in sentences
                if sentence.start_seconds < step["end"] and sentence.end_seconds > step["start"]
            ]
            assert any(step["verb"] in text and step["object"] in text for text in said), (step, said)


@pytest.mark.slow
def test_another_version_replaces_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    new = write_script(0, seed=1)
    monkeypatch.setattr(corpus, "VERSION", corpus.VERSION - 1)
    old = write_script(0, seed=1)
    assert old.name == new.name
    video, transcript = tmp_path / f"{new.name}.mp4", tmp_path / f"{new.name}.vtt"
    assert corpus.render_video(tmp_path, old)
    before = video.read_bytes(), transcript.read_text()
    assert corpus.render_video(tmp_path, new)
    assert video.read_bytes() != before[0]
    assert transcript.read_text() != before[1]
    assert not corpus.render_video(tmp_path, new)


def test_grain_is_that_of_its_time_and_as_strong_in_every_frame():
    first, again, other = (_grain(seconds) for seconds in (1.5, 1.5, 1.6))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first[..., 0].ravel(), other[..., 0].ravel())[0, 1]) < 0.05
    for grain in (first, other):
        assert grain.shape == (HEIGHT, WIDTH, 3)
        assert abs(grain.mean()) < 0.1
        assert grain.std() == pytest.approx(4, rel=0.05)


def test_the_same_scene_is_the_same_picture_and_another_seed_another_kitchen():
    first, again, other = (Scene(verb="cut", object="apple", seed=seed).frame(1.5) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other.astype(int)).mean() > 10


def test_something_moves():
    scene = Scene(verb="wash", object="fish", seed=9)
    assert np.abs(scene.frame(1.0).astype(int) - scene.frame(1.3).astype(int)).mean() > 2
