"""What happens to the process that decodes happens to one video."""

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.hostile_modules import write_hostile_modules
from tests.videos import Video, write_video
from vbert.errors import UserError, VideoError
from vbert.video.audio import sound_windows
from vbert.video.child_process import Child
from vbert.video.decode import decode_clips
from vbert.video.decode_child import DecodeLimits
from vbert.video.frame_grid import Clip, ClipSpec
from vbert.video.isolation import DecoderProcess
from vbert.video.media import Segment, VideoProbe, probe_video
from vbert.video.thumbnails import thumbnails

SPEC = ClipSpec(clip_seconds=0.5, frames_per_clip=3, size=32, crop_share=1.0)
ALL = Segment(index=0, first_clip=0, num_clips=4)
LIMITS = DecodeLimits(max_decode_seconds=60.0, max_decode_gigabytes=1.5)
SHORT = replace(LIMITS, max_decode_seconds=2.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video of 2 s under the names of good and bad ones; the children find hostile modules."""
    monkeypatch.syspath_prepend(str(write_hostile_modules(tmp_path / "modules")))
    video = write_video(tmp_path / "good.mp4", Video(num_frames=20, fps=Fraction(10)))
    for name in ("crash", "hang", "greedy", "leave", "wrong"):
        (tmp_path / f"{name}.mp4").hardlink_to(video)
    return tmp_path


@pytest.fixture
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess(LIMITS)
    yield process
    process.close()


Children = Callable[[], list[psutil.Process]]


@pytest.fixture
def children() -> Children:
    """Those of this process that decode and have come since."""

    others = {child.pid for child in psutil.Process().children()}
    return lambda: [
        child
        for child in psutil.Process().children()
        if child.pid not in others and "decode_child" in str(child.cmdline())
    ]


def same(one: Clip, other: Clip) -> bool:
    facts = [(c.index, c.color, c.num_corrupt_frames, c.num_frames_seen) for c in (one, other)]
    return facts[0] == facts[1] and bool((one.frames == other.frames).all())


def test_a_child_decodes_as_its_parent_would_and_is_kept(
    folder: Path, process: DecoderProcess, children: Children
):
    uri = str(folder / "good.mp4")
    expected = list(decode_clips(uri, ALL, SPEC))
    assert len(expected) == 4
    before = process.cpu_seconds()
    for _ in range(3):
        clips = list(process.decode_clips(uri, ALL, SPEC))
        assert all(same(clip, other) for clip, other in zip(clips, expected, strict=True))
        assert len(children()) == 1
    assert process.cpu_seconds() > before
    assert clips[0].frames.flags.writeable, "as of those that are decoded here"


def test_a_child_probes_as_its_parent_would(folder: Path, process: DecoderProcess):
    (folder / "not.mp4").write_text("a video")
    found = process.probe([str(folder / name) for name in ("good.mp4", "not.mp4", "gone.mp4")])
    assert found[0] == probe_video(str(folder / "good.mp4"))
    assert [str(error) for error in found[1:]] == [
        "probe: Invalid data found when processing input",
        "probe: No such file or directory",
    ]
    assert process.probe([]) == []


REASONS = {
    "crash": "the decoder died of signal 11 (SIGSEGV)",
    "hang": "took longer than 2 s",
    "greedy": "needs more than 1.5 GB of memory",
    "leave": "the decoder's process ended with exit status 3",
    "wrong": "unforeseen ZeroDivisionError: nobody foresaw this",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_a_file_does_to_the_decoder_is_a_reason_and_the_next_is_decoded(
    folder: Path, process: DecoderProcess, children: Children, name: str
):
    hostile = DecoderProcess(SHORT) if name == "hang" else process
    with pytest.raises(VideoError, match=r"^decode: ") as caught:
        list(hostile.decode_clips(f"hostile://{folder}/{name}.mp4", ALL, SPEC))
    assert caught.value.reason == REASONS[name]
    assert len(list(process.decode_clips(f"hostile://{folder}/good.mp4", ALL, SPEC))) == 4
    assert len(children()) == 1


def test_a_child_hears_and_draws_as_its_parent_would(tmp_path: Path, process: DecoderProcess):
    knocks = (np.random.default_rng(5).random(45 * 16_000) * 2e4).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(knocks.tobytes())
    video = str(write_video(tmp_path / "a.mp4", Video(num_frames=20, fps=Fraction(10))))
    heard = list(process.sound_windows(str(tmp_path / "a.wav")))
    expected = list(sound_windows(str(tmp_path / "a.wav")))
    assert len(heard) == len(expected) == 2
    for window, other in zip(heard, expected, strict=True):
        assert window.start_seconds == other.start_seconds
        assert (window.samples == other.samples).all()
    assert process.thumbnails(video, [0.0, 1.2], width=32) == thumbnails(video, [0.0, 1.2], width=32)
    with pytest.raises(VideoError, match=r"^audio: no audio stream$"):
        list(process.sound_windows(video))


@pytest.mark.parametrize("name", ["crash", "greedy", pytest.param("hang", marks=pytest.mark.slow)])
def test_what_a_file_does_to_who_hears_or_draws_it_is_a_reason(folder: Path, name: str):
    process = DecoderProcess(SHORT)
    for stage, ask in (
        ("audio", lambda uri: list(process.sound_windows(uri))),
        ("decode", lambda uri: process.thumbnails(uri, [0.0], width=32)),
    ):
        with pytest.raises(VideoError) as caught:
            ask(f"hostile://{folder}/{name}.mp4")
        assert (caught.value.stage, caught.value.reason) == (stage, REASONS[name])
    (picture,) = process.thumbnails(f"hostile://{folder}/good.mp4", [0.0], width=32)
    assert picture
    process.close()


def test_whoever_listens_may_take_longer_than_the_decoder(tmp_path: Path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 90))
    process = DecoderProcess(replace(LIMITS, max_decode_seconds=1.0))
    windows = process.sound_windows(str(tmp_path / "a.wav"))
    assert next(windows).start_seconds == 0
    time.sleep(1.2)
    assert len(list(windows)) == 4  # of silence, which is cut after 20 s
    process.close()


def test_whoever_ends_the_child_that_probes_is_found_and_no_one_else(folder: Path):
    names = ["good", "crash", "good", "greedy", "good", "hang", "leave", "good", "wrong", *["good"] * 20]
    found = DecoderProcess(SHORT).probe([f"hostile://{folder}/{name}.mp4" for name in names])
    for name, answer in zip(names, found, strict=True):
        if name == "good":
            assert isinstance(answer, VideoProbe)
        else:
            assert isinstance(answer, VideoError)
            assert (answer.stage, answer.reason) == ("probe", REASONS[name])


def test_what_the_user_got_wrong_is_the_user_s_error(
    folder: Path, process: DecoderProcess, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UserError, match=r"^nosuch://video\.mp4: "):
        process.probe([str(folder / "good.mp4"), "nosuch://video.mp4", str(folder / "good.mp4")])
    with pytest.raises(UserError, match=r"^s3://bucket/video\.mp4: decord reads local files only"):
        list(process.decode_clips("s3://bucket/video.mp4", ALL, SPEC, decoder="decord"))
    process.close()
    (folder / "modules" / "decord.py").write_text("raise ImportError")
    with pytest.raises(UserError, match=r"^decoder decord is not installed"):
        list(process.decode_clips(str(folder / "good.mp4"), ALL, SPEC, decoder="decord"))
    assert len(list(process.decode_clips(str(folder / "good.mp4"), ALL, SPEC))) == 4


def test_clips_that_nobody_wants_any_more_are_not_taken_for_the_next_segment_s(
    folder: Path, process: DecoderProcess
):
    uri = str(folder / "good.mp4")
    clips = process.decode_clips(uri, ALL, SPEC)
    assert next(clips).index == 0
    clips.close()  # type: ignore[attr-defined]
    last = Segment(index=0, first_clip=3, num_clips=1)
    assert [clip.index for clip in process.decode_clips(uri, last, SPEC)] == [3]


def test_a_child_that_was_killed_while_it_had_nothing_to_do_is_nobody_s_fault(
    folder: Path, process: DecoderProcess, children: Children
):
    uri = str(folder / "good.mp4")
    list(process.decode_clips(uri, ALL, SPEC))
    (child,) = children()
    child.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=10)
    assert len(list(process.decode_clips(uri, ALL, SPEC))) == 4


PARENT = """
import sys
from tests.video.test_isolation import ALL, SPEC
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import DecoderProcess

process = DecoderProcess(DecodeLimits())
list(process.decode_clips(sys.argv[1], ALL, SPEC))
print("decoded", flush=True)
list(process.decode_clips(sys.argv[2], ALL, SPEC, decoder="decord"))
"""


def test_a_child_that_hangs_dies_with_its_parent(folder: Path):
    command = [sys.executable, "-c", PARENT, str(folder / "good.mp4"), str(folder / "hang.mp4")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "decoded\n"
        (child,) = psutil.Process(parent.pid).children()
        time.sleep(0.5)  # it hangs by now
        parent.kill()
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert not alive, gone


@pytest.mark.parametrize("name", ["max_decode_seconds", "max_decode_gigabytes"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_limits_are_positive(name: str, value: float):
    with pytest.raises(UserError, match=f"{name} must be positive"):
        DecodeLimits(**{name: value})


def test_what_keeps_a_child_from_starting_is_in_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "half_there.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match=r"decoder's process does not start: (.|\n)*no_such_module"):
        Child("decoder", "half_there")
