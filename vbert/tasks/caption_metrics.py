"""BLEU, METEOR, ROUGE-L and CIDEr of captions, by the libraries that the field's metrics come from.

BLEU, ROUGE-L and CIDEr are COCO's (pycocoevalcap) on text in small letters without punctuation. METEOR is
NLTK's, which matches words and stems; where its WordNet is installed it matches synonyms too. Neither needs
Java.
"""

import contextlib
import io
import re
from collections.abc import Sequence

from vbert.errors import UserError


def score_captions(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """BLEU-3, BLEU-4, METEOR, ROUGE-L and CIDEr of one candidate each against its references.

    All from 0 to 1, but CIDEr, which has no upper bound (10 is perfect). UserError if the libraries are not
    installed.
    """
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise UserError(f"captions need {error.name}: pip install 'vbert[captioning]'") from error
    said = {at: [_plain(text)] for at, text in enumerate(candidates)}
    wanted = {at: [_plain(text) for text in texts] for at, texts in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its counts
        bleu, _ = Bleu(4).compute_score(wanted, said)
    rouge, _ = Rouge().compute_score(wanted, said)
    cider, _ = Cider().compute_score(wanted, said)
    return {
        "BLEU-3": float(bleu[2]),
        "BLEU-4": float(bleu[3]),
        "METEOR": _meteor(said, wanted),
        "ROUGE-L": float(rouge),
        "CIDEr": float(cider),
    }


def _meteor(said: dict[int, list[str]], wanted: dict[int, list[str]]) -> float:
    from nltk.corpus import wordnet
    from nltk.translate.meteor_score import meteor_score

    try:
        wordnet.ensure_loaded()
        synonyms = wordnet
    except LookupError:
        synonyms = _NoSynonyms()
    scores = [
        meteor_score([text.split() for text in wanted[at]], said[at][0].split(), wordnet=synonyms)
        for at in said
    ]
    return float(sum(scores) / len(scores))


class _NoSynonyms:
    """What NLTK asks of WordNet, where there is none."""

    def synsets(self, word: str) -> list[object]:
        return []


def _plain(text: str) -> str:
    """Small letters and no punctuation, as COCO's tokenizer leaves."""
    return " ".join(re.findall(r"[\w']+", text.lower()))
