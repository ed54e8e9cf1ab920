"""Ray runs the upkeep of the tables: files joined into sorted shards, what no version names deleted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vbert.distributed.cluster import connect
from vbert.distributed.joining import Joins
from vbert.errors import UserError
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.clustering import SHARD_BYTES, files_to_join
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import StoredFile
from vbert.tables.schemas import TABLES
from vbert.tables.vacuum import forget_old_log, vacuum

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Join small files into shards and delete what no recent version of a table names."""

    tables: str
    """Folder or bucket URL of the tables."""
    target_megabytes: int = SHARD_BYTES // MEGABYTE
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
    target_bytes = config.target_megabytes * MEGABYTE
    summary = CompactSummary()
    for table in tables:
        groups = [
            (partition, group)
            for partition in table.partitions()
            for group in files_to_join(table, partition=partition, target_bytes=target_bytes)
        ]
        name = table.layout.name
        joined = _join(table, groups, target_bytes) if groups else []
        summary.num_joined[name] = sum(len(group) for group, _ in joined)
        summary.num_shards[name] = sum(num_shards for _, num_shards in joined)
        summary.num_left[name] = sum(len(group) for _, group in groups) - summary.num_joined[name]
        summary.num_deleted[name] = len(vacuum(table, retention_hours=config.retention_hours))
        table.log.sum_up()
        forget_old_log(table)
    return summary


def _join(
    table: Table, groups: list[tuple[str, list[StoredFile]]], target_bytes: int
) -> list[tuple[Sequence[StoredFile], int]]:
    """One task and one commit a group, so that a killed run keeps what it has done. The groups that were
    joined, and into how many shards: without those that another job has changed meanwhile, whose turn it is
    the next time."""
    connect()
    table.create()  # as this release has it
    joins = Joins(target_bytes=target_bytes, num_cpus=1)
    committers = {name: Committer(table, partition=name) for name, _ in groups}
    for partition, group in groups:
        joins.begin(committers[partition], group)
    done = []
    progress = Progress(f"compact {table.layout.name}", total=len(groups), unit="groups")
    while joins:
        if joined := joins.commit_one():
            done.append(joined)
        progress.advance(1)
    progress.finish()
    return [(group, num_shards) for group, num_shards in done if num_shards]
