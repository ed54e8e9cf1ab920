"""Videos that are gone: first marked, dropped in time, and never many at once."""

import pyarrow as pa
import pytest

from vbert.errors import UserError
from vbert.features.pruning import DAY, PruneOptions, PrunePlan, plan_pruning, returned

NOW = 1_000 * DAY


def ledger(*gone_since: float | None) -> pa.Table:
    ids = [f"v{number}" for number in range(len(gone_since))]
    return pa.table({"video_id": ids, "gone_since": pa.array(gone_since, pa.float64())})


def plan(rows: pa.Table, removed: list[str], **options: float) -> PrunePlan:
    chosen = PruneOptions(prune=True, **options)
    return plan_pruning(rows, pa.array(removed, pa.string()), chosen, corpus="s3://videos", now=NOW)


def test_a_video_is_marked_when_it_is_first_missed_and_dropped_a_week_later():
    rows = ledger(None, NOW - 3 * DAY, NOW - 7 * DAY, None, *[None] * 396)
    assert plan(rows, ["v0", "v1", "v2"]) == PrunePlan(mark=["v0"], drop=["v2"])


def test_what_came_back_is_no_longer_marked():
    rows = ledger(None, NOW - 3 * DAY, NOW - 9 * DAY)
    assert returned(rows, pa.array(["v2"])) == ["v1"]


def test_without_prune_nothing_is_planned():
    options = PruneOptions()
    assert plan_pruning(ledger(NOW), pa.array(["v0"]), options, corpus="x") == PrunePlan(mark=[], drop=[])


@pytest.mark.parametrize(
    ("gone_since", "what"), [(None, "newly gone"), (NOW - 8 * DAY, "to be dropped")], ids=["marks", "drops"]
)
def test_more_than_one_in_a_hundred_at_once_is_a_mistake(gone_since: float | None, what: str):
    rows = ledger(*[gone_since] * 3, *[None] * 197)
    assert plan(rows, ["v0", "v1"]) != PrunePlan(mark=[], drop=[]), "one in a hundred is not"
    with pytest.raises(UserError) as refused:
        plan(rows, ["v0", "v1", "v2"])
    said = str(refused.value)
    assert said.startswith(f"s3://videos: lacks 3 of the ledger's 200 videos ({what}), more than --prune-at")
    assert said.endswith("give --prune-at-most 0.02")
    assert plan(rows, ["v0", "v1", "v2"], prune_at_most=0.02) != PrunePlan(mark=[], drop=[])


def test_with_no_days_to_wait_a_video_goes_at_once():
    rows = ledger(None, NOW - DAY)
    assert plan(rows, ["v0", "v1"], prune_after_days=0, prune_at_most=1).drop == ["v0", "v1"]


@pytest.mark.parametrize("options", [{"prune_after_days": -1}, {"prune_at_most": 1.5}, {"prune_at_most": -1}])
def test_impossible_options_are_refused(options: dict[str, float]):
    with pytest.raises(UserError, match="--prune-a"):
        PruneOptions(**options)
