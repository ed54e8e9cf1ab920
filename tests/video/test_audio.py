"""Sound against what the ffmpeg program makes of the same files."""

from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from tests.videos import ffmpeg
from vbert.errors import VideoError
from vbert.video.audio import RATE, WINDOW_SECONDS, Window, sound_windows
from vbert.video.media import probe_video

PICTURE = ["-f", "lavfi", "-i", "color=gray:s=64x64:r=10:d=4"]


def whole(path: Path) -> np.ndarray:
    """All windows, which must follow each other without a gap."""
    windows = list(sound_windows(str(path)))
    at = windows[0].start_seconds
    for window in windows:
        assert window.start_seconds == pytest.approx(at, abs=1e-6)
        at += len(window.samples) / RATE
    return np.concatenate([window.samples for window in windows])


def by_ffmpeg(path: Path) -> np.ndarray:
    raw = ffmpeg("-i", path, "-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-")
    return np.frombuffer(raw, np.float32)


def tones(path: Path, *, seconds: float, rate: int = 44_100, start: float = 0.0) -> Path:
    """Stereo, a quiet moment every seven seconds; `start` delays the sound against the picture."""
    at = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 440 * at) * ((at % 7) > 0.5)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("flac" if path.suffix == ".mkv" else "aac", rate)
        audio.layout = "stereo"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * number, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        resampler = av.AudioResampler(audio.format, "stereo", rate, frame_size=audio.frame_size or 4096)
        stereo = np.repeat((wave * 32767).astype(np.int16), 2)[None]
        frame = av.AudioFrame.from_ndarray(stereo, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = rate, round(start * rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(audio.encode(part))
        container.mux(audio.encode(None))
    return path


def test_windows_are_the_sound_that_ffmpeg_hears(tmp_path: Path):
    path = tones(tmp_path / "a.mkv", seconds=75)
    found, expected = whole(path), by_ffmpeg(path)
    assert len(found) == pytest.approx(len(expected), abs=64)
    length = min(len(found), len(expected))
    # Resamplers differ a little in their filters; a shift of one sample would be an error of 0.05.
    assert np.abs(found[:length] - expected[:length]).mean() < 2e-3
    windows = list(sound_windows(str(path)))
    assert len(windows) == 4  # each ends at the last quiet moment in its 28 s, 21 s after it began
    for window in windows[:-1]:
        end = window.start_seconds + len(window.samples) / RATE
        assert len(window.samples) <= WINDOW_SECONDS * RATE
        assert 0.05 < end % 7 < 0.45, "cut where it is quiet"


def test_sound_that_begins_late_keeps_its_time(tmp_path: Path):
    path = tones(tmp_path / "a.mkv", seconds=5, start=2.0)
    (window,) = sound_windows(str(path))
    heard = np.flatnonzero(np.abs(window.samples) > 0.05)[0] / RATE + window.start_seconds
    assert heard == pytest.approx(2.5, abs=0.02)  # the first half second is quiet


@pytest.mark.parametrize("seconds_later", [0, 1000])
def test_sound_of_another_kind_behind_a_clock_that_starts_again_goes_on(tmp_path: Path, seconds_later: int):
    """Two recordings behind one another, as `cat` joins them: their rates and channels are different ones."""
    stereo, mono = tmp_path / "stereo.ts", tmp_path / "mono.ts"
    sound = ["-f", "lavfi", "-i", "sine=f=440:d=4,volume='lt(mod(t,2),1)':eval=frame", "-c:a", "mp2"]
    ffmpeg(*PICTURE, *sound, "-ac", "2", "-ar", "44100", stereo)
    ffmpeg(*PICTURE, *sound, "-ac", "1", "-ar", "48000", "-output_ts_offset", str(seconds_later), mono)
    path = tmp_path / "joined.ts"
    path.write_bytes(stereo.read_bytes() + mono.read_bytes())
    heard = np.abs(whole(path))
    for second in range(8):
        assert (heard[round((second + 0.3) * RATE) :][: RATE // 4].mean() > 0.03) == (second % 2 == 0)
    assert len(heard) / RATE == pytest.approx(probe_video(str(path)).duration_seconds, abs=0.15)


def test_real_videos_sound_as_ffmpeg_hears_them(real_videos: Path):
    for name in ("nasa_13013.mp4", "Megamind.avi", "pancake.mkv"):
        found, expected = whole(real_videos / name), by_ffmpeg(real_videos / name)
        length = min(len(found), len(expected))
        assert length > 0.97 * max(len(found), len(expected)), name
        best = max(
            np.corrcoef(found[shift:length], expected[: length - shift])[0, 1] for shift in range(0, 32, 4)
        )
        assert best > 0.99, name


def test_a_file_without_sound_or_that_is_none_says_so(tmp_path: Path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(video.encode(None))
    with pytest.raises(VideoError, match="no audio stream"):
        list(sound_windows(str(path)))
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError):
        list(sound_windows(str(tmp_path / "b.mp4")))


def test_a_timestamp_that_jumps_costs_no_hours_of_silence(monkeypatch: pytest.MonkeyPatch):
    """As files say that have a gap of 100 hours, 23 GB of it, or that lie about it."""
    quarter = np.full(RATE // 4, 0.5, np.float32)

    def pieces(times: list[float]) -> list[Window]:
        given = [(round(seconds * RATE), quarter) for seconds in times]
        monkeypatch.setattr("vbert.video.audio._pieces", lambda _: iter(given))
        return list(sound_windows("a.mkv"))

    found = pieces([0.0, 20.0, 360_000.0])
    assert [(w.start_seconds, len(w.samples) / RATE) for w in found] == [(0.0, 20.25), (360_000.0, 0.25)]
    assert (found[0].samples != 0).sum() == 2 * len(quarter)
    with pytest.raises(VideoError, match=r"^audio: lasts more than 200 hours by its timestamps$"):
        pieces([0.0, 201 * 3600.0])


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path):
    path = tones(tmp_path / "a.mkv", seconds=600, rate=RATE)
    process = psutil.Process()
    before, most, total = process.memory_info().rss, 0, 0
    for window in sound_windows(str(path)):
        total += len(window.samples)
        most = max(most, process.memory_info().rss - before)
    assert total == pytest.approx(600 * RATE, rel=0.01)
    assert most < 20e6  # ten minutes are 38 MB
