"""Which of the ledger's videos go: those that have been missing for long, and never many at once.

A mount that is not there, or a wrong --corpus, looks like a corpus that has lost its videos.
"""

import time
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vbert.errors import UserError, require_at_least

DAY = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """What becomes of videos that are no longer in the corpus."""

    prune: bool = False
    """Mark videos that are no longer in the corpus as gone, and drop the rows of those that have been gone
    for --prune-after-days; without it they stay."""
    prune_after_days: float = 7.0
    """How long a video must be gone; 0 drops it at once."""
    prune_at_most: float = 0.01
    """More than this share of all videos, newly gone or to be dropped, is taken for a mistake and refused."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "prune_after_days", "prune_at_most")
        if self.prune_at_most > 1:
            raise UserError(f"--prune-at-most {self.prune_at_most} must be a share, from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class PrunePlan:
    """Ids of videos: `mark` are gone since now, `drop` have been gone for long enough."""

    mark: list[str]
    drop: list[str]


def plan_pruning(
    gone: pa.Table, options: PruneOptions, *, num_known: int, corpus: str, now: float | None = None
) -> PrunePlan:
    """What to do about the videos `gone` (video_id, gone_since) of a ledger of `num_known`.

    `now` is in seconds since 1970. UserError if they are too many to be believed.
    """
    now = time.time() if now is None else now
    since = pc.fill_null(gone["gone_since"], now)
    is_due = pc.less_equal(since, now - options.prune_after_days * DAY)
    drop: list[str] = gone.filter(is_due)["video_id"].to_pylist()
    waits = gone.filter(pc.and_(pc.invert(is_due), pc.is_null(gone["gone_since"])))
    mark: list[str] = waits["video_id"].to_pylist()
    for ids, what in ((drop, "to be dropped"), (mark, "newly gone")):
        if len(ids) > options.prune_at_most * num_known:
            raise UserError(
                f"{corpus}: lacks {len(ids):,} of the ledger's {num_known:,} videos ({what}), more "
                f"than --prune-at-most {options.prune_at_most:g}; is a mount missing, or --corpus wrong? "
                f"If they are meant to go, give --prune-at-most {_share(len(ids), num_known)}"
            )
    return PrunePlan(mark=mark, drop=drop)


def _share(count: int, of: int) -> str:
    """The least share, of two decimals, that lets them go."""
    return f"{min(1.0, -(-count * 100 // of) / 100):g}"
