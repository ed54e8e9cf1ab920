"""BLEU, METEOR, ROUGE-L and CIDEr of captions: COCO's (Chen et al. 2015), as pycocoevalcap has them."""

import contextlib
import functools
import io
from collections.abc import Sequence

from vbert.errors import UserError
from vbert.tasks.caption_tokens import caption_tokens
from vbert.tasks.meteor import java_is_there, running_meteor


def score_captions(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """BLEU-3, BLEU-4, ROUGE-L and CIDEr of one candidate each against its references; METEOR too, where there
    is Java.

    All from 0 to 1, but CIDEr, which has no upper bound (10 is perfect). References without a word are left
    out, and examples that have no others; where that leaves none, all is 0. UserError if the libraries are
    not installed.
    """
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise UserError(f"captions need {error.name}: pip install 'vbert[captioning]'") from error
    worded = [[words for words in map(_words, texts) if words] for texts in references]
    said = {at: [_words(text)] for at, text in enumerate(candidates) if worded[at]}
    wanted = {at: worded[at] for at in said}
    names = ["BLEU-3", "BLEU-4", *(["METEOR"] if java_is_there() else []), "ROUGE-L", "CIDEr"]
    if not said:
        return dict.fromkeys(names, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its counts
        bleu, _ = Bleu(4).compute_score(wanted, said)
    rouge, _ = Rouge().compute_score(wanted, said)
    cider, _ = Cider().compute_score(wanted, said)
    found = {"BLEU-3": bleu[2], "BLEU-4": bleu[3], "ROUGE-L": rouge, "CIDEr": cider}
    if "METEOR" in names:
        found["METEOR"] = running_meteor().score([text for (text,) in said.values()], list(wanted.values()))
    return {name: float(found[name]) for name in names}


@functools.lru_cache(maxsize=2**18)
def _words(text: str) -> str:
    """The tokens of a caption with spaces between them, as the libraries take them."""
    return " ".join(caption_tokens(text))
