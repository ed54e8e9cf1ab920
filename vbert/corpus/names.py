"""What others call a video: by its id, or by its file's name."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from vbert.storage.files import stem_of


@dataclass(frozen=True)
class Names:
    """Ids of videos by the names that others may know them by."""

    ids: dict[str, str] = field(default_factory=dict)
    ambiguous: frozenset[str] = frozenset()
    """Names that several videos have, and so none."""


def names_of(videos: pa.Table) -> Names:
    """The names of videos (columns video_id and uri).

    A video's id goes before the name of its file without extension, and that before the same with its
    extension and with or without YouTube's usual `v_`: v_QOlSCBRmfWY.mp4 is also QOlSCBRmfWY, where no other
    video is.
    """
    ids, uris = videos["video_id"].to_pylist(), videos["uri"].to_pylist()
    exact, twice = _unique(zip(map(stem_of, uris), ids, strict=True))
    others = [(name, video_id) for uri, video_id in zip(uris, ids, strict=True) for name in _variants(uri)]
    loose, loose_twice = _unique(pair for pair in others if pair[0] not in exact and pair[0] not in twice)
    known = loose | exact | {video_id: video_id for video_id in ids}
    return Names(known, frozenset((twice | loose_twice) - known.keys()))


def _variants(uri: str) -> tuple[str, ...]:
    stem, name = stem_of(uri), uri.rsplit("/", 1)[-1]
    return (name, f"v_{stem}", stem.removeprefix("v_")) if stem.startswith("v_") else (name, f"v_{stem}")


def _unique(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], set[str]]:
    """The one that each name means, and the names that mean several."""
    found: dict[str, str] = {}
    twice = set()
    for name, video_id in pairs:
        if found.setdefault(name, video_id) != video_id:
            twice.add(name)
    return {name: video_id for name, video_id in found.items() if name not in twice}, twice
