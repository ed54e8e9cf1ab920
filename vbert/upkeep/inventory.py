"""An inventory of the tables: versions, partitions, sizes, failures, and what features were made with."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated

import pyarrow.compute as pc
from tyro.conf import Positional

from vbert.corpus.forgotten import num_forgotten
from vbert.errors import UserError, require_at_least
from vbert.storage.files import with_absolute_paths
from vbert.tables.delta import Table
from vbert.tables.pins import Pin, pins
from vbert.tables.schemas import FEATURES, TABLES, VIDEOS

NUM_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class InfoConfig:
    """Say what is in the tables. Nothing is changed."""

    tables: Annotated[str, Positional]
    """Folder or bucket URL of the tables."""
    num_files: int = 256
    """Files of each featurizer to ask what they were made with, spread evenly."""
    num_reasons: int = 10
    """Reasons of failures to list, the most frequent."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_files", "num_reasons")


@dataclass(frozen=True, kw_only=True)
class PartitionFacts:
    """Of one featurizer's, vocabulary's or recogniser's rows in a table."""

    table: str
    partition: str
    num_rows: int
    num_files: int
    num_bytes: int


@dataclass(kw_only=True)
class Inventory:
    """What `take_inventory` found."""

    versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each table that is there: its version, and its schema's."""
    partitions: list[PartitionFacts] = field(default_factory=list)
    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    """By featurizer: how many videos are ok, partial and failed, and gone of all these."""
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    """By featurizer: how many videos are not ok, by stage and reason."""
    provenance: dict[str, Counter[str]] = field(default_factory=dict)
    """By featurizer: of the files that were asked, how many were made with what."""
    pins: list[Pin] = field(default_factory=list)
    num_forgotten: int = 0


def take_inventory(config: InfoConfig) -> Inventory:
    """Read logs, the ledger and the ends of some files. UserError where there is no table."""
    config = with_absolute_paths(config, "tables")
    tables = [table for table in (Table(config.tables, layout) for layout in TABLES) if table.exists()]
    if not tables:
        raise UserError(f"{config.tables}: no table there; give the --tables that featurize wrote")
    found = Inventory(pins=pins(config.tables), num_forgotten=num_forgotten(config.tables))
    for table in tables:
        found.versions[table.layout.name] = (table.version(), table.schema_version())
        for partition in table.partitions():
            files = table.stored(partition=partition)
            found.partitions.append(
                PartitionFacts(
                    table=table.layout.name,
                    partition=partition,
                    num_rows=sum(file.num_rows for file in files),
                    num_files=len(files),
                    num_bytes=sum(file.size_bytes for file in files),
                )
            )
            if table.layout is VIDEOS:
                found.statuses[partition], found.reasons[partition] = _ledger(table, partition)
            if table.layout is FEATURES:
                paths = _evenly([file.path for file in files], config.num_files)
                with ThreadPoolExecutor(NUM_THREADS) as threads:
                    made_with = list(threads.map(table.provenance, paths))
                found.provenance[partition] = Counter(
                    _in_words(one) for file in made_with for one in file or [{}]
                )
    return found


def _ledger(table: Table, partition: str) -> tuple[Counter[str], Counter[str]]:
    rows = table.read(columns=["status", "stage", "reason", "gone_since"], partition=partition)
    statuses = Counter(
        {entry["values"]: entry["counts"] for entry in pc.value_counts(rows["status"]).to_pylist()}
    )
    if num_gone := rows.num_rows - rows["gone_since"].null_count:
        statuses["gone"] = num_gone
    bad = rows.filter(pc.not_equal(rows["status"], "ok")).select(["stage", "reason"]).to_pylist()
    return statuses, Counter(f"{row['stage']}: {row['reason']}" for row in bad)


def _evenly(paths: Sequence[str], count: int) -> list[str]:
    if len(paths) <= count:
        return list(paths)
    return [paths[number * len(paths) // count] for number in range(count)]


def _in_words(made_with: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in made_with.items()) or "before files said so"
