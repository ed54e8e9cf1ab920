"""Ray runs the upkeep of the tables: small files joined into shards, what no version names deleted."""

from dataclasses import dataclass, field

import ray

from vbert.distributed.cluster import connect
from vbert.errors import UserError
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import TABLES
from vbert.tables.vacuum import forget_old_log, vacuum

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Join small files into shards and delete what no recent version of a table names."""

    tables: str
    """Folder or bucket URL of the tables."""
    target_megabytes: int = 256
    """Size of a shard. 128 to 512 MB read well; readers take row groups of 64 rows from them."""
    retention_hours: int = 168
    """Keep what a version of the last so many hours names, so that training on a pinned version goes on."""

    def __post_init__(self) -> None:
        if self.target_megabytes < 1:
            raise UserError(f"--target-megabytes must be at least 1, got {self.target_megabytes}")
        if self.retention_hours < 1:
            raise UserError(
                f"--retention-hours must be at least 1, got {self.retention_hours}: "
                "a running job's files are not committed yet and would be deleted"
            )


@dataclass(kw_only=True)
class CompactSummary:
    """What one run did, by table."""

    num_joined: dict[str, int] = field(default_factory=dict)
    num_shards: dict[str, int] = field(default_factory=dict)
    num_deleted: dict[str, int] = field(default_factory=dict)
    num_left: dict[str, int] = field(default_factory=dict)  # files that another job changed meanwhile


def compact_tables(config: CompactConfig) -> CompactSummary:
    """Compact and vacuum every table that is there. Rows stay as they are; other jobs may run meanwhile."""
    config = with_absolute_paths(config, "tables")
    tables = [table for table in (Table(config.tables, layout) for layout in TABLES) if table.exists()]
    if not tables:
        raise UserError(f"{config.tables}: no table there; give the --tables that featurize wrote")
    summary = CompactSummary()
    for table in tables:
        groups = [
            (partition, group)
            for partition in table.partitions()
            for group in table.small_files(
                partition=partition, target_bytes=config.target_megabytes * MEGABYTE
            )
        ]
        name = table.layout.name
        joined = _join(table, groups) if groups else []
        summary.num_joined[name] = sum(map(len, joined))
        summary.num_shards[name] = len(joined)
        summary.num_left[name] = sum(len(group) for _, group in groups) - summary.num_joined[name]
        summary.num_deleted[name] = len(vacuum(table, retention_hours=config.retention_hours))
        forget_old_log(table)
    return summary


def _join(table: Table, groups: list[tuple[str, list[str]]]) -> list[list[str]]:
    """One task and one commit a shard, so that a killed run keeps what it has done. The groups that were
    joined: without those that another job has changed meanwhile, whose turn it is the next time."""
    connect()
    table.create()  # as this release has it
    joined = []

    @ray.remote(num_cpus=1)
    def join(group: list[str], partition: str) -> NewFile | None:
        try:
            return table.join_files(group, partition=partition)
        except FileNotFoundError:  # deleted by another compaction
            return None

    running = {join.remote(group, partition): (partition, group) for partition, group in groups}
    progress = Progress(f"compact {table.layout.name}", total=len(groups), unit="shards")
    while running:
        (ready,), _ = ray.wait(list(running), num_returns=1)
        partition, group = running.pop(ready)
        shard: NewFile | None = ray.get(ready)
        if shard and Committer(table, partition=partition).compact([shard], instead_of=group) is not None:
            joined.append(group)
        progress.advance(1)
    progress.finish()
    return joined
