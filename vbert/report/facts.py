"""What a report says, as plain values: counts, words of visual tokens, time lines, curves, problems."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from vbert.documents.assembly import tokens_of_sentences

Row = Mapping[str, Any]
NUM_WORDS = 6
MAX_PROBLEMS = 10_000  # lines on the page; the ledger has them all
MAX_REASONS = 10_000  # that are held: some name a time or a count, and so are many
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


@dataclass(frozen=True, kw_only=True)
class LedgerSurvey:
    """What there is to say of rows of the ledger: of a part of them, or of two parts together."""

    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """How many videos failed, or in part, for which first reason; the MAX_REASONS most frequent."""
    seconds: float = 0.0
    num_clips: int = 0
    num_problems: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)
    """A line a failure and a line a warning: the first MAX_PROBLEMS."""

    @classmethod
    def of(cls, rows: pa.Table) -> "LedgerSurvey":
        """Of rows with uri, status, stage, reason, warnings, duration_seconds and num_clips."""
        videos = rows.to_pylist()
        found = _problems(videos)
        return cls(
            states=Counter(row["status"] for row in videos),
            reasons=_reasons(videos),
            seconds=sum(row["duration_seconds"] or 0 for row in videos),
            num_clips=sum(row["num_clips"] or 0 for row in videos),
            num_problems=len(found),
            problems=found[:MAX_PROBLEMS],
        )

    def __add__(self, other: "LedgerSurvey") -> "LedgerSurvey":
        return LedgerSurvey(
            states=self.states + other.states,
            reasons=Counter(dict((self.reasons + other.reasons).most_common(MAX_REASONS))),
            seconds=self.seconds + other.seconds,
            num_clips=self.num_clips + other.num_clips,
            num_problems=self.num_problems + other.num_problems,
            problems=(self.problems + other.problems)[:MAX_PROBLEMS],
        )

    def summary(self) -> dict[str, str]:
        """The figures at the top of the page."""
        return {
            "Videos": f"{self.states.total():,}",
            "Failed": f"{self.states['failed']:,}",
            "Used in part": f"{self.states['partial']:,}",
            "Failures and warnings": f"{self.num_problems:,}",
            "Hours": f"{self.seconds / 3600:,.1f}",
            "Clips": f"{self.num_clips:,}",
        }


def _reasons(videos: Sequence[Row]) -> Counter[str]:
    return Counter(f"{row['stage']}: {row['reason']}" for row in videos if row["status"] != "ok")


def _problems(videos: Sequence[Row]) -> list[dict[str, str]]:
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
