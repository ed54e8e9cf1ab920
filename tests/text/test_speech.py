import wave
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_whisper import HIGH, LESSONS, LOW, WORDS, tones, write_tiny_whisper
from vbert.errors import UserError
from vbert.text.sentences import Word
from vbert.text.speech import make_recognizer, recognize, recognizer_id
from vbert.video.audio import RATE, sound_windows

pytestmark = pytest.mark.slow


class Knocks:
    """Hears every knock as a word: what a recogniser does, without its mistakes."""

    def words(self, samples: np.ndarray) -> list[Word]:
        loud = np.abs(samples) > 0.5
        begins = np.flatnonzero(loud & ~np.append(False, loud[:-1]))
        return [Word("knock", at / RATE, at / RATE + 0.1) for at in begins.tolist()]


def write_knocks(path: Path, *, seconds: int, every: float) -> list[float]:
    samples = np.full(seconds * RATE, 0.004)
    times = np.arange(0.7, seconds - 0.5, every)
    for at in times:
        samples[round(at * RATE) : round((at + 0.1) * RATE)] = 0.9
    write_sound(path, samples)
    return [float(at) for at in times]


def write_sound(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def test_no_word_is_lost_or_doubled_where_windows_meet(tmp_path: Path):
    times = write_knocks(tmp_path / "a.wav", seconds=200, every=1.3)
    sentences = recognize(sound_windows(str(tmp_path / "a.wav")), Knocks())
    assert sum(sentence.text.lower().count("knock") for sentence in sentences) == len(times)
    starts = [sentence.start_seconds for sentence in sentences]
    np.testing.assert_allclose(starts, times, atol=0.01)


def test_silence_is_not_listened_to(tmp_path: Path):
    class Inventive:
        def words(self, samples: np.ndarray) -> list[Word]:
            return [Word("thanks", 0.0, 1.0)]

    write_knocks(tmp_path / "a.wav", seconds=3, every=100)
    assert recognize(sound_windows(str(tmp_path / "a.wav")), Inventive())
    write_sound(tmp_path / "b.wav", np.zeros(RATE))
    assert recognize(sound_windows(str(tmp_path / "b.wav")), Inventive()) == []


def test_pocketsphinx_understands_a_narrator(real_videos: Path):
    sentences = recognize(sound_windows(str(real_videos / "nasa_13013.mp4")), make_recognizer("pocketsphinx"))
    said = " ".join(sentence.text for sentence in sentences).lower()
    for words in ("webb space telescope", "largest clean rooms", "goddard space flight center"):
        assert words in said
    (telescope,) = [sentence for sentence in sentences if "telescope" in sentence.text]
    assert 0 < telescope.start_seconds < 2
    assert 5 < telescope.end_seconds < 9
    assert [s.start_seconds for s in sentences] == sorted(s.start_seconds for s in sentences)


def test_whisper_says_what_it_has_learned_to_hear(tmp_path: Path, one_thread: None):
    """The hub's format and pipeline, with times of words, on a model that knows two tones."""
    write_tiny_whisper(tmp_path / "whisper")
    recognizer = make_recognizer(f"whisper:{tmp_path / 'whisper'}")
    for lesson in LESSONS:
        words = recognizer.words(tones(lesson))
        assert [word.text for word in words] == [WORDS[tone] for tone in lesson]
        for word in words:
            assert 0 <= word.start_seconds <= word.end_seconds <= 1.5 * len(lesson) + 0.02
    write_sound(tmp_path / "a.wav", tones([HIGH, LOW]))
    (sentence,) = recognize(sound_windows(str(tmp_path / "a.wav")), recognizer)
    assert sentence.text == "High low."


def test_a_recognizer_that_is_none_is_the_users_mistake():
    for name in ("sphinx", "whisper:", "whisper:/no/such/model"):
        with pytest.raises(UserError, match=f"--recognizer {name}"):
            make_recognizer(name)


def test_a_recognizers_rows_are_named_by_it():
    assert recognizer_id("pocketsphinx") == recognizer_id("pocketsphinx")
    assert recognizer_id("whisper:openai/whisper-small").startswith("whisper-small-")
    assert recognizer_id("whisper:a/b") != recognizer_id("whisper:c/b")
