"""Pairs of copies -> clusters, one video of each to be kept."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Two videos of which one is a copy of the other, or both are of a third."""

    first: str
    second: str
    share: float
    """Of the shorter one's clips that the other shows."""
    offset_seconds: float
    """When the second begins in the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A video's place in its cluster. One without copies is a cluster of its own."""

    cluster: str
    """The least id of its videos."""
    kept_id: str
    """That of the greatest worth, of equals that of the least id."""
    share: float
    """Of its clips or, if that is shorter, of the video's through which it was found; 1 of the kept one."""
    offset_seconds: float
    """When it begins in the kept one."""


def clusters_of(links: Iterable[Link], worth: Mapping[str, tuple[int, ...]]) -> dict[str, Member]:
    """The place of each video of `worth` (id: what it is kept for, the greatest)."""
    near: dict[str, list[tuple[str, float, float]]] = {name: [] for name in worth}
    for link in links:
        near[link.first].append((link.second, link.share, link.offset_seconds))
        near[link.second].append((link.first, link.share, -link.offset_seconds))
    found: dict[str, Member] = {}
    # The first of a cluster that is come to is the one to keep.
    for kept_id in sorted(sorted(worth), key=lambda name: worth[name], reverse=True):
        if kept_id in found:
            continue
        places = {kept_id: (1.0, 0.0)}
        waiting = deque([kept_id])
        while waiting:
            name = waiting.popleft()
            for other, share, offset_seconds in sorted(near[name]):
                if other not in places:
                    places[other] = share, places[name][1] + offset_seconds
                    waiting.append(other)
        cluster = min(places)
        for name, (share, offset_seconds) in places.items():
            found[name] = Member(cluster=cluster, kept_id=kept_id, share=share, offset_seconds=offset_seconds)
    return found
