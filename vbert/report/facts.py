"""What a report says, as plain values: counts, words of visual tokens, time lines, curves, problems."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vbert.documents.assembly import tokens_of_sentences

Row = Mapping[str, Any]
NUM_WORDS = 6
MIN_TOGETHER = 3  # a word that was said with a token less often may be chance


def words_of_tokens(documents: Iterable[Row], *, num_words: int = NUM_WORDS) -> dict[int, list[str]]:
    """For each visual token the words that are said with it most distinctly, the best first.

    How distinctly: pointwise mutual information of word and token in the same sentence, times how often they
    are together (Church and Hanks 1990). Only words that the token makes likelier.
    """
    together: Counter[tuple[int, str]] = Counter()
    words: Counter[str] = Counter()
    tokens: Counter[int] = Counter()
    num_sentences = 0
    for document in documents:
        if not document["sentences"]:
            continue
        for sentence, (first, last) in zip(
            document["sentences"], tokens_of_sentences(document).tolist(), strict=True
        ):
            said = set(re.findall(r"[^\W\d_]{2,}", sentence.lower()))
            shown = set(document["visual_tokens"][first:last])
            num_sentences += 1
            words.update(said)
            tokens.update(shown)
            together.update((token, word) for token in shown for word in said)
    scores: dict[int, list[tuple[float, str]]] = {}
    for (token, word), count in together.items():
        gain = math.log(count * num_sentences / (words[word] * tokens[token]))
        if count >= MIN_TOGETHER and gain > 0:
            scores.setdefault(token, []).append((-count * gain, word))
    return {token: [word for _, word in sorted(found)[:num_words]] for token, found in scores.items()}


def usage(counts: np.ndarray) -> dict[str, str]:
    """How the leaves int64 [num_leaves] of a visual vocabulary are used."""
    used = counts[counts > 0] / max(1, counts.sum())
    perplexity = math.exp(-float((used * np.log(used)).sum())) if len(used) else 0.0
    return {
        "Visual vocabulary": f"{len(counts):,}",
        "Tokens in use": f"{len(used):,}",
        "Perplexity of use": f"{perplexity:,.0f}",
    }


def corpus_summary(videos: Sequence[Row]) -> dict[str, str]:
    """Of rows of the ledger: status, duration_seconds, num_clips."""
    states = Counter(row["status"] for row in videos)
    hours = sum(row["duration_seconds"] or 0 for row in videos) / 3600
    return {
        "Videos": f"{len(videos):,}",
        "Failed": f"{states['failed']:,}",
        "Used in part": f"{states['partial']:,}",
        "Hours": f"{hours:,.1f}",
        "Clips": f"{sum(row['num_clips'] or 0 for row in videos):,}",
    }


def problems(videos: Sequence[Row]) -> list[dict[str, str]]:
    """A line a failure, and a line a warning, of rows of the ledger."""
    found = []
    for row in videos:
        about = {"uri": str(row["uri"]), "status": str(row["status"])}
        if row["status"] != "ok":
            found.append(about | {"stage": str(row["stage"]), "reason": str(row["reason"])})
        found += [about | {"stage": "warning", "reason": str(text)} for text in row["warnings"] or ()]
    return found


def curves(lines: Sequence[Row]) -> list[dict[str, Any]]:
    """A chart for each figure of a metrics.jsonl: steps and values of training and of validation."""
    names = sorted({name.split("/", 1)[1] for line in lines for name in line if "/" in name})
    return [
        {
            "name": name,
            **{
                kind: [[line["step"], line[f"{kind}/{name}"]] for line in lines if f"{kind}/{name}" in line]
                for kind in ("train", "validation")
            },
        }
        for name in sorted(names, key=lambda name: (not name.startswith("loss"), name))
    ]


def visible_words(words: Mapping[int, Sequence[str]], *, count: int) -> list[str]:
    """The words that tell the most visual tokens from others: those that stand first or second for them."""
    first = Counter(word for mine in words.values() for word in mine[:2])
    return [word for word, _ in first.most_common(count)]
