"""Texts as vectors without any video: sentence embeddings by a BERT, and classic word vectors."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from vbert.errors import UserError
from vbert.model.encoders import bert_checkpoint, quiet_transformers
from vbert.storage.files import open_file

TEXTS_AT_ONCE = 128


class TextEmbedder(Protocol):
    """Texts -> float32 [n, dim], of length 1, or 0 where nothing of a text is known."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors, in order."""


class SentenceEmbedder:
    """The mean over a BERT's last hidden states, as sentence encoders are trained to be read (Reimers and
    Gurevych 2019). `name` is a name on the Hugging Face hub, a folder, or `minilm`, which comes with a
    package. UserError if there is no such model."""

    def __init__(self, name: str, *, device: str = "cpu") -> None:
        place = bert_checkpoint(name)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(place)
            with quiet_transformers():
                model: Any = AutoModel.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise UserError(f"{name}: no encoder of texts ({str(error).splitlines()[0]})") from error
        self._model = model.to(device).eval()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [n, hidden size]; texts beyond the model's length are cut."""
        limit = self._model.config.max_position_embeddings
        found = [np.zeros((0, self._model.config.hidden_size), np.float32)]
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            batch = self._tokenizer(
                list(texts[first : first + TEXTS_AT_ONCE]),
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            ).to(self._model.device)
            hidden = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(hidden)
            found.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).float().cpu().numpy())
        return np.concatenate(found)


class WordVectors:
    """The mean of the vectors of a text's words: GloVe's text files, and word2vec's with their first line."""

    def __init__(self, uri: str) -> None:
        """UserError for a file that cannot be read or is none."""
        try:
            with open_file(uri) as file:
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError as error:
            raise UserError(f"{uri}: cannot be read ({error.strerror or error})") from error
        rows = [line.rstrip().split(" ") for line in lines if line.strip()]
        if rows and len(rows[0]) == 2:  # word2vec's: how many, and how long
            rows = rows[1:]
        if not rows or len({len(row) for row in rows}) != 1 or len(rows[0]) == 1:
            raise UserError(f"{uri}: is no text file of word vectors (a word and its numbers a line)")
        try:
            self._vectors = np.array([row[1:] for row in rows], np.float32)
        except ValueError as error:
            raise UserError(f"{uri}: is no text file of word vectors ({error})") from error
        self._places = {row[0]: at for at, row in enumerate(rows)}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 [n, dim]; words that the file lacks do not count."""
        found = np.zeros((len(texts), self._vectors.shape[1]), np.float32)
        for row, text in zip(found, texts, strict=True):
            known = [self._places[word] for word in re.findall(r"\w+", text.lower()) if word in self._places]
            if known:
                mean = self._vectors[known].mean(0)
                row[:] = mean / max(float(np.linalg.norm(mean)), 1e-9)
        return found
