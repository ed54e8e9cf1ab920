"""What running jobs need of the tables is kept, for as long as they may need it."""

import json
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.table_rows import feature_rows, keys_of, make_old
from vbert.tables import pins as module
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import HOUR, READER_HOURS, WRITER_HOURS, pinned, pins, protected_versions
from vbert.tables.schemas import FEATURES
from vbert.tables.vacuum import forget_old_log, vacuum


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made = Table(str(tmp_path), FEATURES)
    made.create()
    return made


def put(table: Table, fingerprint: str) -> int:
    rows = feature_rows("a", segments=1, fingerprint=fingerprint)
    return Committer(table, partition="f-1").commit([table.write_file(rows)], drop=["a"])


def fingerprints(table: Table, version: int) -> list[str]:
    found: list[str] = table.read(columns=["fingerprint"], partition="f-1", version=version)[0].to_pylist()
    return found


def test_vacuum_leaves_what_a_pinned_version_names(table: Table):
    version = put(table, "pinned")
    with pinned(table.root, "pretrain-1", job="pretrain into out", versions={"features": version}):
        put(table, "later")
        put(table, "latest")
        make_old(table, hours=24 * 365)
        other = Table(table.root, FEATURES)
        assert len(vacuum(other, retention_hours=1)) == 1, "the file of the version in between"
        assert fingerprints(other, version) == ["pinned"]
    assert len(vacuum(Table(table.root, FEATURES), retention_hours=1)) == 1
    assert keys_of(table) == [("a", 0, "latest")]


def test_a_killed_run_keeps_its_version_and_its_time_for_a_week(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    version = put(table, "pinned")
    killed = pinned(table.root, "pretrain-1", job="pretrain into out", versions={"features": version})
    with pytest.raises(KeyboardInterrupt), killed:
        raise KeyboardInterrupt
    (pin,) = pins(table.root)
    assert protected_versions(table.root, "features") == [version]
    with pinned(table.root, "pretrain-1", job="pretrain into out", versions={"features": version}):
        assert pins(table.root)[0].since == pin.since, "the same run goes on"
        monkeypatch.setattr(module.time, "time", lambda: pin.since + READER_HOURS * HOUR + 60)
        assert protected_versions(table.root, "features") == [], "and is thought to be dead in a week"


def test_what_a_long_writer_has_not_committed_yet_is_kept(table: Table, monkeypatch: pytest.MonkeyPatch):
    """Files of a changed video wait until the video is whole: for hours, if it is long."""
    with pinned(table.root, "featurize-1", job="featurize"):
        waiting = table.write_file(feature_rows("a", segments=1))
        pin = Path(table.root, "pins", "featurize-1.json")
        facts = json.loads(pin.read_text())
        pin.write_text(json.dumps(facts | {"since": facts["since"] - 5 * HOUR}))
        make_old(table, hours=4)
        assert vacuum(Table(table.root, FEATURES), retention_hours=1) == []
        Committer(table, partition="f-1").commit([waiting])
    assert keys_of(table) == [("a", 0, "a")]
    assert pins(table.root) == [], "it has ended"


def test_a_writers_pin_ends_with_an_error_and_a_killed_writers_expires(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(RuntimeError), pinned(table.root, "featurize-1", job="featurize"):
        raise RuntimeError
    assert pins(table.root) == []
    now = time.time()
    facts = {"job": "featurize", "since": now, "renewed": now, "hours": WRITER_HOURS, "versions": {}}
    Path(table.root, "pins", "featurize-2.json").write_text(json.dumps(facts))
    assert len(pins(table.root)) == 1
    monkeypatch.setattr(module.time, "time", lambda: now + WRITER_HOURS * HOUR + 1)
    assert pins(table.root) == []


def test_pins_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RENEWED_SECONDS", 0.01)
    with pinned(str(tmp_path), "featurize-1", job="featurize"):
        first = pins(str(tmp_path))[0].renewed
        deadline = time.monotonic() + 10
        while pins(str(tmp_path))[0].renewed == first:
            assert time.monotonic() < deadline


def test_a_file_that_is_no_pin_pins_nothing(tmp_path: Path):
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "notes.json").write_text('{"milk": 2}')
    (tmp_path / "pins" / "half.json").write_text('{"job": "pre')
    assert pins(str(tmp_path)) == []


def test_the_log_of_a_pinned_version_is_kept(table: Table, monkeypatch: pytest.MonkeyPatch):
    """Delta's own rule is to delete entries after thirty days, with whatever commit comes next."""
    assert table.open().metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    cleaned: list[str] = []
    monkeypatch.setattr(DeltaTable, "cleanup_metadata", lambda self: cleaned.append(self.table_uri))
    version = put(table, "a")
    with pinned(table.root, "pretrain-1", job="pretrain into out", versions={"features": version}):
        forget_old_log(table)
        assert len(cleaned) == 1
        pin = Path(table.root, "pins", "pretrain-1.json")
        facts = json.loads(pin.read_text())
        pin.write_text(json.dumps(facts | {"since": facts["since"] - 40 * 24 * HOUR}))
        forget_old_log(table)
        assert len(cleaned) == 1
