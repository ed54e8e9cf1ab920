"""Videos that are gone: first marked, dropped in time, and never many at once."""

import pyarrow as pa
import pytest

from vbert.errors import UserError
from vbert.features.pruning import DAY, PruneOptions, PrunePlan, plan_pruning

NOW = 1_000 * DAY


def ledger(*gone_since: float | None) -> pa.Table:
    ids = [f"v{number}" for number in range(len(gone_since))]
    return pa.table({"video_id": ids, "gone_since": pa.array(gone_since, pa.float64())})


def plan(rows: pa.Table, num_removed: int, **options: float) -> PrunePlan:
    """For a ledger of which the first so many videos are gone."""
    chosen = PruneOptions(prune=True, **options)
    return plan_pruning(
        rows.slice(0, num_removed), chosen, num_known=rows.num_rows, corpus="s3://videos", now=NOW
    )


def test_a_video_is_marked_when_it_is_first_missed_and_dropped_a_week_later():
    rows = ledger(None, NOW - 3 * DAY, NOW - 7 * DAY, None, *[None] * 396)
    assert plan(rows, 3) == PrunePlan(mark=["v0"], drop=["v2"])


@pytest.mark.parametrize(
    ("gone_since", "what"), [(None, "newly gone"), (NOW - 8 * DAY, "to be dropped")], ids=["marks", "drops"]
)
def test_more_than_one_in_a_hundred_at_once_is_a_mistake(gone_since: float | None, what: str):
    rows = ledger(*[gone_since] * 3, *[None] * 197)
    assert plan(rows, 2) != PrunePlan(mark=[], drop=[]), "one in a hundred is not"
    with pytest.raises(UserError) as refused:
        plan(rows, 3)
    said = str(refused.value)
    assert said.startswith(f"s3://videos: lacks 3 of the ledger's 200 videos ({what}), more than --prune-at")
    assert said.endswith("give --prune-at-most 0.02")
    assert plan(rows, 3, prune_at_most=0.02) != PrunePlan(mark=[], drop=[])


def test_with_no_days_to_wait_a_video_goes_at_once():
    rows = ledger(None, NOW - DAY)
    assert plan(rows, 2, prune_after_days=0, prune_at_most=1).drop == ["v0", "v1"]


@pytest.mark.parametrize("options", [{"prune_after_days": -1}, {"prune_at_most": 1.5}, {"prune_at_most": -1}])
def test_impossible_options_are_refused(options: dict[str, float]):
    with pytest.raises(UserError, match="--prune-a"):
        PruneOptions(**options)
