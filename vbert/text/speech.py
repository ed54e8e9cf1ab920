"""Speech recognition: windows of sound -> words with times, by Whisper or PocketSphinx."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from vbert.errors import UserError
from vbert.tables.schemas import short_hash
from vbert.text.sentences import Word
from vbert.text.transcripts import Sentence, to_sentences
from vbert.video.audio import RATE, Window

# Raise it when the same sound gives other sentences.
SPEECH_VERSION = 1
# Below this root mean square nobody speaks (-60 dB of full scale): Whisper invents words for silence.
SILENCE = 1e-3


class Recognizer(Protocol):
    """What turns a window of sound into words."""

    def words(self, samples: np.ndarray) -> list[Word]:
        """Float32 [num_samples] at audio.RATE -> words with times in seconds from the window's start."""


def make_recognizer(name: str) -> Recognizer:
    """`pocketsphinx`, or `whisper:<name on the hub or folder>`. UserError for another, or one that is not
    installed."""
    kind, _, place = name.partition(":")
    if name == "pocketsphinx":
        return PocketSphinx()
    if kind == "whisper" and place:
        return Whisper(place)
    raise UserError(f"--recognizer {name}: must be pocketsphinx, or whisper:<name or folder>")


def recognizer_id(name: str) -> str:
    """Names the rows of the table transcripts: what decides about them."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in name.rsplit("/", 1)[-1].lower())
    return f"{slug}-{short_hash(name, str(SPEECH_VERSION))[:8]}"


def recognize(windows: Iterable[Window], recognizer: Recognizer) -> list[Sentence]:
    """What is said in the sound of a video, in sentences. Raises what taking the windows raises."""
    return to_sentences(list(_words(windows, recognizer)))


def _words(windows: Iterable[Window], recognizer: Recognizer) -> Iterator[Word]:
    for window in windows:
        if float(np.sqrt(np.mean(window.samples.astype(np.float64) ** 2))) < SILENCE:
            continue
        length = len(window.samples) / RATE
        for text, start, end in recognizer.words(window.samples):
            first, last = min(start, length), min(max(start, end), length)
            yield Word(text, window.start_seconds + first, window.start_seconds + last)


class PocketSphinx:
    """CMU PocketSphinx with the small US English model in its wheel: no download, and modest."""

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise UserError("pocketsphinx is not installed: pip install 'vbert[speech]'") from error
        self._decoder: Any = Decoder(samprate=RATE, loglevel="FATAL")

    def words(self, samples: np.ndarray) -> list[Word]:
        """Without its marks of silence and noise, and the numbers of pronunciations."""
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, no_search=False, full_utt=True)
        self._decoder.end_utt()
        frames_a_second = self._decoder.config["frate"]
        return [
            Word(
                segment.word.split("(")[0],
                segment.start_frame / frames_a_second,
                (segment.end_frame + 1) / frames_a_second,
            )
            for segment in self._decoder.seg() or ()
            if not segment.word.startswith(("<", "[", "+"))
        ]


class Whisper:
    """OpenAI's Whisper by Hugging Face (Radford et al. 2022), on a GPU in half precision."""

    def __init__(self, place: str) -> None:
        import torch
        from transformers import pipeline

        on_gpu = torch.cuda.is_available()
        try:
            self._pipeline: Any = pipeline(
                "automatic-speech-recognition",
                model=place,
                device=0 if on_gpu else -1,
                dtype=torch.float16 if on_gpu else torch.float32,
            )
        except (OSError, ValueError) as error:
            raise UserError(f"--recognizer whisper:{place}: {str(error).splitlines()[0]}") from error

    def words(self, samples: np.ndarray) -> list[Word]:
        """A word whose end Whisper leaves open ends with the window."""
        sound = {"raw": samples, "sampling_rate": RATE}
        found = self._pipeline(sound, return_timestamps="word")
        length = len(samples) / RATE
        return [
            Word(chunk["text"].strip(), chunk["timestamp"][0] or 0.0, chunk["timestamp"][1] or length)
            for chunk in found["chunks"]
            if chunk["text"].strip()
        ]
