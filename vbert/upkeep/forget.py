"""Forget videos: rows, exemplars of visual words, vectors of indexes, and the files of older versions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from vbert.corpus.forgotten import note_forgotten
from vbert.errors import UserError
from vbert.search.index import delete_shards, shards_with
from vbert.storage.files import absolute_uri, with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import delete_files, stored_files
from vbert.tables.pins import FOLDER as PINS
from vbert.tables.pins import Pin, pinned, pins
from vbert.tables.schemas import DUPLICATES, TABLES, VIDEOS, video_id_of
from vbert.vocabulary.saved import folders_in, forget_exemplars


@dataclass(frozen=True, kw_only=True)
class ForgetConfig:
    """Remove every trace of some videos from the tables, older versions included, and keep them out."""

    tables: str
    """Folder or bucket URL of the tables."""
    video: tuple[str, ...]
    """Ids of videos, or where they lie: as the table `videos` has them in video_id or uri."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""


@dataclass(kw_only=True)
class ForgetSummary:
    """What was found, and has gone unless it was a dry run."""

    video_ids: list[str]
    num_rows: dict[str, int] = field(default_factory=dict)
    """By table, in all partitions."""
    num_exemplars: int = 0
    num_files: int = 0
    """Of older versions or of no version, deleted because they hold the videos."""
    num_shards: int = 0
    """Of search's indexes, deleted for the same reason; the next search makes them anew."""


def forget(config: ForgetConfig) -> ForgetSummary:
    """Drop the videos' rows everywhere, then delete what older versions have of them.

    UserError for a video that no table has, and while a job needs the tables: its pin says so.
    """
    config = with_absolute_paths(config, "tables")
    tables = [table for table in (Table(config.tables, layout) for layout in TABLES) if table.exists()]
    video_ids = sorted({found for name in config.video for found in _ids_of(name, tables, config.tables)})
    summary = ForgetSummary(video_ids=video_ids)
    for table in tables:
        counts = [_num_rows(table, partition, video_ids) for partition in table.partitions()]
        summary.num_rows[table.layout.name] = sum(counts)
    if config.dry_run:
        summary.num_exemplars = _forget_exemplars(config.tables, video_ids, dry_run=True)
        summary.num_files = sum(len(_old_files(table, video_ids)) for table in tables)
        summary.num_shards = len(list(shards_with(config.tables, video_ids)))
        return summary
    _refuse_pinned(config.tables, tables, video_ids)
    with pinned(config.tables, "forget", job="forget"):
        _forget(config.tables, tables, video_ids, summary)
    return summary


def _forget(root: str, tables: Sequence[Table], video_ids: Sequence[str], summary: ForgetSummary) -> None:
    for video_id in video_ids:
        note_forgotten(root, video_id)  # first: the daily run may come by
    reached = {table.layout.name: _reached(table, video_ids) for table in tables}
    for table in tables:
        table.create()
        for partition in table.partitions():
            Committer(table, partition=partition).commit([], drop=reached[table.layout.name])
    summary.num_exemplars = _forget_exemplars(root, video_ids, dry_run=False)
    for table in tables:
        old = _old_files(table, reached[table.layout.name])
        delete_files(table.uri, table.layout, old)
        summary.num_files += len(old)
    shards = list(shards_with(root, video_ids))
    delete_shards(shards)
    summary.num_shards = len(shards)


def _ids_of(name: str, tables: Sequence[Table], root: str) -> set[str]:
    """The ids that a name stands for: itself, or those of the videos that lie there."""
    candidates = {name, video_id_of(name), video_id_of(absolute_uri(name))}
    found: set[str] = set()
    for table in tables:
        for partition in table.partitions():
            rows = table.read(columns=["video_id"], partition=partition, video_ids=candidates)
            found |= set(rows["video_id"].to_pylist())
            if table.layout is VIDEOS:
                ledger = table.read(columns=["video_id", "uri"], partition=partition)
                lies_there = pc.or_(
                    pc.equal(ledger["uri"], name), pc.equal(ledger["uri"], absolute_uri(name))
                )
                found |= set(ledger.filter(lies_there)["video_id"].to_pylist())
    if not found:
        raise UserError(f"{root}: no table has the video {name}; give its video_id or uri as `videos` has it")
    return found


def _reached(table: Table, video_ids: Collection[str]) -> set[str]:
    """The videos whose rows name one of these: also their copies, which deduplicate will look at again."""
    found = set(video_ids)
    if table.layout is DUPLICATES:
        wanted = pa.array(sorted(video_ids), pa.string())
        for partition in table.partitions():
            rows = table.read(columns=["video_id", "cluster", "kept_id"], partition=partition)
            names_one = pc.or_(pc.is_in(rows["cluster"], wanted), pc.is_in(rows["kept_id"], wanted))
            found |= set(rows.filter(names_one)["video_id"].to_pylist())
    return found


def _num_rows(table: Table, partition: str, video_ids: Collection[str]) -> int:
    found: int = table.read(columns=["video_id"], partition=partition, video_ids=video_ids).num_rows
    return found


def _refuse_pinned(root: str, tables: Sequence[Table], video_ids: Collection[str]) -> None:
    """UserError while a job writes, or reads a version that has the videos: it would end in an error."""
    for pin in pins(root):
        if not pin.versions or _has_any(pin, tables, video_ids):
            raise UserError(
                f"{root}: {pin.job} still needs these tables; let it end, or remove its file in "
                f"{root}/{PINS} if it will not go on, then run this one again"
            )


def _has_any(pin: Pin, tables: Sequence[Table], video_ids: Collection[str]) -> bool:
    for table in tables:
        version = pin.versions.get(table.layout.name)
        if version is not None:
            at = table.open(version)
            for partition in table.partitions_at(at):
                if table.paths_with(video_ids, partition=partition, at=at):
                    return True
    return False


def _forget_exemplars(root: str, video_ids: Collection[str], *, dry_run: bool) -> int:
    return sum(forget_exemplars(uri, video_ids, dry_run=dry_run) for uri in folders_in(root))


def _old_files(table: Table, video_ids: Collection[str]) -> list[str]:
    """Files in the table's folder that the newest version does not name, and that hold the videos."""
    delta = table.open()
    active = {
        path
        for partition in table.partitions_at(delta)
        for path in table.paths(partition=partition, at=delta)
    }
    others = [path for path in stored_files(table.uri) if path not in active]
    return [path for path in others if table.file_has(path, video_ids)]
