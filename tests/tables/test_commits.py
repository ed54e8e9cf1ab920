"""Commits beside others: a row is there once, whoever changed the files meanwhile."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.table_rows import compact, feature_rows, keys_of, make_old
from vbert.errors import UserError
from vbert.tables.clustering import files_to_join, join_files
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.log import Log
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import FEATURES
from vbert.tables.vacuum import vacuum

A_AND_B = [("a", 0, "a"), ("b", 0, "a")]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Videos a and b, in a file each."""
    made = Table(str(tmp_path), FEATURES)
    made.create()
    for name in "ab":
        Committer(made, partition="f-1").commit([made.write_file(feature_rows(name, segments=1))])
    return made


def another(table: Table) -> Table:
    return Table(table.root, table.layout)


def replacement(table: Table) -> list[NewFile]:
    return [table.write_file(feature_rows("a", segments=1, fingerprint="new"))]


def joined(table: Table) -> tuple[list[str], list[NewFile]]:
    (group,) = files_to_join(table, partition="f-1", target_bytes=1 << 20)
    files = join_files(table, group, partition="f-1", target_bytes=1 << 20)
    return [file.path for file in group], files


def test_a_compaction_while_a_writer_rewrites_makes_the_writer_choose_again(table: Table):
    group, files = joined(another(table))
    rewritten: list[Sequence[str]] = []

    def rewrite(paths: Sequence[str]) -> Iterable[NewFile | None]:
        if not rewritten:
            assert Committer(another(table), partition="f-1").compact(files, instead_of=group) is not None
        rewritten.append(paths)
        return [table.rewrite_without(path, ["a"], partition="f-1") for path in paths]

    Committer(table, partition="f-1").commit(replacement(table), drop=["a"], rewrite=rewrite)
    assert keys_of(table) == [("a", 0, "new"), ("b", 0, "a")]
    assert [len(paths) for paths in rewritten] == [1, 1], "its own file, then the shard"


def test_a_writer_while_a_compaction_joins_leaves_it_nothing_to_do(table: Table):
    group, files = joined(another(table))
    Committer(table, partition="f-1").commit(replacement(table), drop=["a"])
    before = table.version()
    assert Committer(another(table), partition="f-1").compact(files, instead_of=group) is None
    assert keys_of(table) == [("a", 0, "new"), ("b", 0, "a")]
    assert table.version() == before


def test_of_two_compactions_of_the_same_files_one_is_made(table: Table):
    first, second = joined(another(table)), joined(another(table))
    committers = [Committer(another(table), partition="f-1") for _ in range(2)]
    assert committers[0].compact(first[1], instead_of=first[0]) is not None
    assert committers[1].compact(second[1], instead_of=second[0]) is None
    assert keys_of(table) == A_AND_B


def test_a_dropped_video_does_not_come_back_with_a_compaction(table: Table):
    group, files = joined(another(table))
    Committer(table, partition="f-1").commit([], drop=["a", "b"])
    assert Committer(another(table), partition="f-1").compact(files, instead_of=group) is None
    assert keys_of(table) == []


def test_writers_of_other_partitions_go_on_beside(table: Table):
    """Each commit makes the version after the one it was chosen at; whoever is late chooses again."""
    others = Committer(another(table), partition="f-2")

    def rewrite(paths: Sequence[str]) -> Iterable[NewFile | None]:
        for fingerprint in "xy":
            rows = feature_rows("a", segments=1, featurizer="f-2", fingerprint=fingerprint)
            others.commit([table.write_file(rows)], drop=["a"])
        return [table.rewrite_without(path, ["a"], partition="f-1") for path in paths]

    Committer(table, partition="f-1").commit(replacement(table), drop=["a"], rewrite=rewrite)
    assert keys_of(table) == [("a", 0, "new"), ("b", 0, "a")]
    assert keys_of(table, "f-2") == [("a", 0, "y")]


def losing_answers(times: int) -> Callable[..., None]:
    commit = Log.commit
    lost = iter(range(times))

    def lossy(*arguments: object, **options: object) -> None:
        commit(*arguments, **options)  # type: ignore[arg-type]
        if next(lost, None) is not None:
            raise OSError("the connection was closed")

    return lossy


def test_a_commit_whose_answer_is_lost_is_found_though_its_file_was_compacted(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    """Its own log entry says that it was made; its files may be gone already."""
    committer = Committer(table, partition="f-1")
    monkeypatch.setattr(Log, "commit", losing_answers(1))
    landed = committer._landed

    def after_a_compaction(commit_id: str, *, since: int) -> int | None:
        monkeypatch.setattr(committer, "_landed", landed)
        group, files = joined(another(table))
        Committer(another(table), partition="f-1").compact(files, instead_of=group)
        return landed(commit_id, since=since)

    monkeypatch.setattr(committer, "_landed", after_a_compaction)
    version = committer.commit([table.write_file(feature_rows("c", segments=1))])
    assert keys_of(table) == [*A_AND_B, ("c", 0, "a")]
    assert version == table.version() - 1
    committer.commit([table.write_file(feature_rows("d", segments=1))])
    assert keys_of(table) == [*A_AND_B, ("c", 0, "a"), ("d", 0, "a")]


def test_a_file_that_was_deleted_before_its_commit_is_named(table: Table):
    (file,) = replacement(table)
    Path(table.uri, file.path).unlink()
    with pytest.raises(UserError, match=r"part-\w+\.parquet: was deleted before it could be committed"):
        Committer(table, partition="f-1").commit([file], drop=["a"])
    assert keys_of(table) == A_AND_B


def test_to_remove_what_is_not_there_is_an_error_of_ours(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Table, "paths_with", lambda *_, **__: ["featurizer=f-1/part-0.parquet"])
    with pytest.raises(AssertionError, match="a file is removed that is not there"):
        Committer(table, partition="f-1").commit([], drop=["a"], rewrite=lambda paths: [None] * len(paths))
    assert keys_of(table) == A_AND_B


def test_a_writer_that_sleeps_through_compaction_and_vacuum_chooses_again(table: Table):
    committer = Committer(table, partition="f-1")
    old = table.open().version()

    def rewrite(paths: Sequence[str]) -> list[NewFile | None]:
        other = another(table)
        if other.version() == old:
            compact(other)
            make_old(other, hours=2)
            assert len(vacuum(other, retention_hours=1)) == 2
        return [other.rewrite_without(path, ["a"], partition="f-1") for path in paths]

    committer.commit([], drop=["a"], rewrite=rewrite)
    assert keys_of(table) == [("b", 0, "a")]
