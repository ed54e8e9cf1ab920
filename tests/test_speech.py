from pathlib import Path

import numpy as np
import pytest

from vbert.audio import RATE
from vbert.errors import UserError
from vbert.sentences import Word
from vbert.speech import make_recognizer, recognize, recognizer_id

pytestmark = pytest.mark.slow


class Knocks:
    """Hears every knock as a word: what a recogniser does, without its mistakes."""

    def words(self, samples: np.ndarray) -> list[Word]:
        loud = np.abs(samples) > 0.5
        begins = np.flatnonzero(loud & ~np.append(False, loud[:-1]))
        return [Word("knock", at / RATE, at / RATE + 0.1) for at in begins.tolist()]


def write_knocks(path: Path, *, seconds: int, every: float) -> list[float]:
    import wave

    samples = np.full(seconds * RATE, 0.004)
    times = np.arange(0.7, seconds - 0.5, every)
    for at in times:
        samples[round(at * RATE) : round((at + 0.1) * RATE)] = 0.9
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return [float(at) for at in times]


def test_no_word_is_lost_or_doubled_where_windows_meet(tmp_path: Path):
    times = write_knocks(tmp_path / "a.wav", seconds=200, every=1.3)
    sentences = recognize(str(tmp_path / "a.wav"), Knocks())
    assert sum(sentence.text.lower().count("knock") for sentence in sentences) == len(times)
    starts = [sentence.start_seconds for sentence in sentences]
    np.testing.assert_allclose(starts, times, atol=0.01)


def test_silence_is_not_listened_to(tmp_path: Path):
    class Inventive:
        def words(self, samples: np.ndarray) -> list[Word]:
            return [Word("thanks", 0.0, 1.0)]

    write_knocks(tmp_path / "a.wav", seconds=3, every=100)
    assert recognize(str(tmp_path / "a.wav"), Inventive())
    import wave

    with wave.open(str(tmp_path / "b.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * RATE))
    assert recognize(str(tmp_path / "b.wav"), Inventive()) == []


def test_pocketsphinx_understands_a_narrator(real_videos: Path):
    sentences = recognize(str(real_videos / "nasa_13013.mp4"), make_recognizer("pocketsphinx"))
    said = " ".join(sentence.text for sentence in sentences).lower()
    for words in ("webb space telescope", "largest clean rooms", "goddard space flight center"):
        assert words in said
    (telescope,) = [sentence for sentence in sentences if "telescope" in sentence.text]
    assert 0 < telescope.start_seconds < 2
    assert 5 < telescope.end_seconds < 9
    assert [s.start_seconds for s in sentences] == sorted(s.start_seconds for s in sentences)


def test_a_recognizer_that_is_none_is_the_users_mistake():
    for name in ("sphinx", "whisper:", "whisper:/no/such/model"):
        with pytest.raises(UserError, match=f"--recognizer {name}"):
            make_recognizer(name)


def test_a_recognizers_rows_are_named_by_it():
    assert recognizer_id("pocketsphinx") == recognizer_id("pocketsphinx")
    assert recognizer_id("whisper:openai/whisper-small").startswith("whisper-small-")
    assert recognizer_id("whisper:a/b") != recognizer_id("whisper:c/b")
