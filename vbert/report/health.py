"""How healthy a corpus is: how its clips look, what is spoken, what was left out, which videos are copies.

Each survey is of a part of a table, and parts are added.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.documents.exclusion import COUNTS, OF_CLIPS
from vbert.tables.schemas import SIGNALS

Place = tuple[str, float]  # a video's id, and seconds

# Where each bar of a signal begins; the last has no end.
EDGES: Mapping[str, np.ndarray] = {
    "motion": np.arange(0, 50, 2),
    "brightness": np.arange(0, 250, 10),
    "sharpness": np.array([0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]),
    "cut": np.arange(0, 100, 4),
}
# The clips to show: by which signal, and whether the least or the greatest of it.
EXTREMES: Mapping[str, tuple[str, int]] = {
    "darkest": ("brightness", 1),
    "least motion": ("motion", 1),
    "largest cut": ("cut", -1),
}
NUM_EXAMPLES = 8
NUM_REASONS = 20
NUM_LANGUAGES = 30


@dataclass(frozen=True, kw_only=True)
class SignalsSurvey:
    """Of rows of FEATURES."""

    counts: Mapping[str, np.ndarray] = field(
        default_factory=lambda: {name: np.zeros(len(EDGES[name]), np.int64) for name in SIGNALS}
    )
    """For each signal how many clips there are from each of EDGES on."""
    extremes: Mapping[str, list[tuple[float, Place]]] = field(
        default_factory=lambda: {name: [] for name in EXTREMES}
    )
    """NUM_EXAMPLES clips of EXTREMES with what they are ordered by, each of another video."""
    num_without: int = 0
    """Clips of an earlier release."""

    @classmethod
    def of(cls, rows: pa.Table) -> "SignalsSurvey":
        """Of rows with video_id, clip_start_seconds and SIGNALS."""
        is_known = pc.is_valid(rows["brightness"])
        known = rows.filter(is_known)
        starts = known["clip_start_seconds"].combine_chunks()
        values = {name: pc.list_flatten(known[name]).to_numpy() for name in SIGNALS}
        names = known["video_id"].combine_chunks().take(pc.list_parent_indices(starts)).to_pylist()
        places = list(zip(names, starts.flatten().to_pylist(), strict=True))
        old = rows.filter(pc.invert(is_known))
        return cls(
            counts={name: _histogram(values[name], EDGES[name]) for name in SIGNALS},
            extremes={
                kind: _first(zip((sign * values[name]).tolist(), places, strict=True))
                for kind, (name, sign) in EXTREMES.items()
            },
            num_without=pc.sum(pc.list_value_length(old["clip_start_seconds"])).as_py() or 0,
        )

    def __add__(self, other: "SignalsSurvey") -> "SignalsSurvey":
        return SignalsSurvey(
            counts={name: self.counts[name] + other.counts[name] for name in SIGNALS},
            extremes={name: _first([*self.extremes[name], *other.extremes[name]]) for name in EXTREMES},
            num_without=self.num_without + other.num_without,
        )


def _histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many are from each edge on; what is no number, none of a single frame, is in none."""
    bars = np.searchsorted(edges, values[np.isfinite(values)], side="right") - 1
    return np.bincount(np.maximum(bars, 0), minlength=len(edges))


def _first(found: Iterable[tuple[float, Place]]) -> list[tuple[float, Place]]:
    """Those with the least values, one of a video."""
    kept: dict[str, tuple[float, Place]] = {}
    for value, place in sorted(pair for pair in found if np.isfinite(pair[0])):
        if len(kept) == NUM_EXAMPLES:
            break
        kept.setdefault(place[0], (value, place))
    return list(kept.values())


@dataclass(frozen=True, kw_only=True)
class SpeechSurvey:
    """Of rows of DOCUMENTS."""

    languages: Counter[str] = field(default_factory=Counter)
    """Videos by language."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Videos and clips by what they were left out for."""

    @classmethod
    def of(cls, rows: pa.Table) -> "SpeechSurvey":
        """Of rows with language, excluded_for and the counts of clips."""
        languages = pc.fill_null(rows["language"], "none, or not known").to_pylist()
        left_out = Counter(reason for reason in rows["excluded_for"].to_pylist() if reason)
        for name, column in zip(OF_CLIPS, COUNTS, strict=True):
            left_out[f"clips: {name}"] += pc.sum(rows[column]).as_py() or 0
        return cls(languages=Counter(languages), left_out=+left_out)

    def __add__(self, other: "SpeechSurvey") -> "SpeechSurvey":
        return SpeechSurvey(
            languages=self.languages + other.languages, left_out=self.left_out + other.left_out
        )


@dataclass(frozen=True, kw_only=True)
class CopiesSurvey:
    """Of rows of DUPLICATES."""

    num_videos: int = 0
    num_copies: int = 0
    examples: list[tuple[Place, Place]] = field(default_factory=list)
    """NUM_EXAMPLES copies and the same moment of the video that is kept."""

    @classmethod
    def of(cls, rows: pa.Table) -> "CopiesSurvey":
        """Of rows with video_id, kept_id and offset_seconds."""
        copies = rows.filter(pc.not_equal(rows["video_id"], rows["kept_id"]))
        examples = [
            ((row["video_id"], max(0.0, -offset)), (row["kept_id"], max(0.0, offset)))
            for row in copies.slice(0, NUM_EXAMPLES).to_pylist()
            if (offset := row["offset_seconds"]) is not None
        ]
        return cls(num_videos=rows.num_rows, num_copies=copies.num_rows, examples=examples)

    def __add__(self, other: "CopiesSurvey") -> "CopiesSurvey":
        return CopiesSurvey(
            num_videos=self.num_videos + other.num_videos,
            num_copies=self.num_copies + other.num_copies,
            examples=(self.examples + other.examples)[:NUM_EXAMPLES],
        )


def example_places(signals: SignalsSurvey, copies: CopiesSurvey) -> list[Place]:
    """The clips that the page shows."""
    clips = [place for examples in signals.extremes.values() for _, place in examples]
    return clips + [place for pair in copies.examples for place in pair]


def health_facts(
    signals: SignalsSurvey,
    speech: SpeechSurvey,
    copies: CopiesSurvey,
    reasons: Counter[str],
    *,
    images: Mapping[Place | None, int],
    uris: Mapping[str, str],
) -> dict[str, Any]:
    """What the page shows. `reasons` are those of failures, `images` the number of each place's frame."""
    drawn = {signal: threshold for signal, _, threshold in OF_CLIPS.values()}
    return {
        "signals": [
            {
                "name": name,
                "edges": EDGES[name].tolist(),
                "counts": signals.counts[name].tolist(),
                "threshold": drawn.get(name),
            }
            for name in SIGNALS
            if signals.counts[name].any()
        ],
        "without": signals.num_without,
        "examples": [
            {"name": name, "clips": [_clip(place, images, uris, value) for value, place in found]}
            for name, found in _unsigned(signals.extremes)
            if found
        ],
        "copies": [[_clip(place, images, uris) for place in pair] for pair in copies.examples],
        "tables": [
            {"name": name, "rows": rows}
            for name, rows in (
                ("Copies of other videos", _copies_rows(copies)),
                ("Languages of speech", _most(speech.languages, NUM_LANGUAGES)),
                ("Left out of documents", _most(speech.left_out, NUM_REASONS)),
                ("Failures by reason", _most(reasons, NUM_REASONS)),
            )
            if rows
        ],
    }


def _unsigned(
    extremes: Mapping[str, Sequence[tuple[float, Place]]],
) -> list[tuple[str, list[tuple[float, Place]]]]:
    signs = {kind: sign for kind, (_, sign) in EXTREMES.items()}
    return [(kind, [(signs[kind] * value, place) for value, place in extremes[kind]]) for kind in extremes]


def _clip(
    place: Place, images: Mapping[Place | None, int], uris: Mapping[str, str], value: float | None = None
) -> dict[str, Any]:
    name, seconds = place
    uri = uris.get(name, name)
    return {"image": images.get(place), "uri": uri, "seconds": seconds, "value": value}


def _copies_rows(copies: CopiesSurvey) -> list[tuple[str, int]]:
    if not copies.num_videos:
        return []
    return [("copies", copies.num_copies), ("videos compared", copies.num_videos)]


def _most(counts: Counter[str], num_rows: int) -> list[tuple[str, int]]:
    """The most frequent, and all others together."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    others = sum(count for _, count in rows[num_rows:])
    return rows[:num_rows] + ([("others", others)] if others else [])
