"""Which videos are looked for in a table, and where they cannot be.

Rows are written in the order of their ids, so that a file and a row group hold ids from one to another and
no more: a lookup of a few ids opens a few of them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

# Compaction leaves up to eight files of a level whose ranges overlap (clustering.MAX_DEPTH): one of eight
# holds a given id, and with eight ids a part that holds none is the exception.
FEW = 8


class Selection(Protocol):
    """Some of a table's videos."""

    def may_be_from(self, least: str, greatest: str) -> bool:
        """Whether a part whose ids lie between these two, both included, may hold one of them."""

    def is_in(self, video_ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """For each id, whether it is one of them."""

    def is_seldom_in(self, least: str, greatest: str) -> bool:
        """Whether a part of which `may_be_from` is true will often hold none of them."""


class Among:
    """Videos by their ids."""

    def __init__(self, video_ids: Collection[str]) -> None:
        self._sorted = sorted(set(video_ids))
        self._array = pa.array(self._sorted, pa.string())

    def may_be_from(self, least: str, greatest: str) -> bool:
        """Whether the first of them that is not before `least` is not after `greatest`."""
        at = bisect_left(self._sorted, least)
        return at < len(self._sorted) and self._sorted[at] <= greatest

    def is_in(self, video_ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """For each id, whether it is one of them."""
        return pc.is_in(video_ids, value_set=self._array)

    def is_seldom_in(self, least: str, greatest: str) -> bool:
        """Where FEW of them lie: as many parts of other files may hold each of them."""
        return bisect_right(self._sorted, greatest) - bisect_left(self._sorted, least) <= FEW


@dataclass(frozen=True)
class Between:
    """Videos from one id up to, but without, another; None: from the least, or up to the greatest."""

    first: str | None = None
    end: str | None = None

    def may_be_from(self, least: str, greatest: str) -> bool:
        """Whether the two ranges overlap."""
        return (self.first is None or greatest >= self.first) and (self.end is None or least < self.end)

    def is_in(self, video_ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """For each id, whether it lies between the two."""
        found = pa.chunked_array([pa.repeat(True, len(video_ids))])
        if self.first is not None:
            found = pc.and_(found, pc.greater_equal(video_ids, self.first))
        if self.end is not None:
            found = pc.and_(found, pc.less(video_ids, self.end))
        return found

    def is_seldom_in(self, least: str, greatest: str) -> bool:
        """Never: a range that overlaps another holds some of it."""
        return False


EVERY_VIDEO = Between()
