"""The joint vocabulary: BERT's word pieces, the separator `[>]`, and the leaves of the visual vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import tokenizers

from vbert.errors import UserError

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


@lru_cache(maxsize=4)
def _open_tokenizer(tokenizer_json: str) -> tokenizers.Tokenizer:
    """Opening takes 0.1 s: once a process, as below, however many copies of a vocabulary reach it."""
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # "[MASK]" in somebody's text is that text, and no mask
    return tokenizer


@lru_cache(maxsize=4)
def _special_ids(tokenizer_json: str) -> dict[str, int]:
    tokenizer = _open_tokenizer(tokenizer_json)
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    missing = sorted(name for name, number in ids.items() if number is None)
    if missing:
        raise UserError(f"the tokenizer has no {' and no '.join(missing)}: it is not BERT's")
    return {name: number for name, number in ids.items() if number is not None}


@lru_cache(maxsize=4)
def _replacement_words(tokenizer_json: str) -> np.ndarray:
    pieces = _open_tokenizer(tokenizer_json).get_vocab(with_added_tokens=True)
    kept = [number for piece, number in pieces.items() if not (piece[0] == "[" and piece[-1] == "]")]
    return np.array(sorted(kept), np.int64)


@dataclass(frozen=True, kw_only=True)
class JointVocabulary:
    """One space of ids for words and clips: word pieces, then `[>]`, then visual tokens.

    It travels to workers as the tokenizer's JSON, and is opened there by the `tokenizers` package alone:
    importing transformers takes ten seconds.
    """

    tokenizer_json: str
    num_word_pieces: int
    """Ids of the text: the model's `vocab_size`, which may be rounded up from the tokenizer's."""
    num_visual_tokens: int

    @property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return _open_tokenizer(self.tokenizer_json)

    @property
    def _special_ids(self) -> dict[str, int]:
        return _special_ids(self.tokenizer_json)

    @property
    def pad_id(self) -> int:
        """What fills a row up."""
        return self._special_ids["[PAD]"]

    @property
    def cls_id(self) -> int:
        """What every sequence begins with."""
        return self._special_ids["[CLS]"]

    @property
    def sep_id(self) -> int:
        """What every sequence ends with."""
        return self._special_ids["[SEP]"]

    @property
    def mask_id(self) -> int:
        """What stands for a hidden word or clip."""
        return self._special_ids["[MASK]"]

    @property
    def separator_id(self) -> int:
        """The id of `[>]`, between text and video."""
        return self.num_word_pieces

    @property
    def visual_offset(self) -> int:
        """The id of visual token 0."""
        return self.num_word_pieces + 1

    @property
    def size(self) -> int:
        """How many ids there are in all."""
        return self.visual_offset + self.num_visual_tokens

    @property
    def replacement_words(self) -> np.ndarray:
        """Int64 ids that a word may be replaced with by chance: all pieces but the ones in brackets."""
        return _replacement_words(self.tokenizer_json)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Word pieces of each text, int64, without [CLS] and [SEP]."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int64) for encoding in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of word pieces, without special ones."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def describe(self, ids: Sequence[int]) -> str:
        """A sequence as a person would write it down: words, `[>]`, and v17 for visual token 17."""
        words = []
        for number in ids:
            if number >= self.visual_offset:
                words.append(f"v{number - self.visual_offset}")
            elif number == self.separator_id:
                words.append("[>]")
            else:
                words.append(str(self._tokenizer.id_to_token(int(number))))
        return " ".join(words)
