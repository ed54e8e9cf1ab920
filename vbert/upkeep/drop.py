"""Drop what belongs to one featurizer, one visual vocabulary or one recogniser."""

from dataclasses import dataclass, field

from vbert.errors import UserError
from vbert.model.checkpoint_files import FEATURIZERS, VOCABULARIES
from vbert.search.index import FOLDER as INDEXES
from vbert.storage.files import filesystem_of, with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import pins
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, TRANSCRIPTS, VIDEOS, TableSchema, is_id
from vbert.vocabulary.saved import folders_in
from vbert.vocabulary.tree import load

TABLES_OF: dict[str, tuple[TableSchema, ...]] = {
    "featurizer": (DUPLICATES, FEATURES, VIDEOS),
    "vocabulary": (DOCUMENTS,),
    "recognizer": (TRANSCRIPTS,),
}
BESIDE = {"featurizer": f"{FEATURIZERS}/{{}}.json", "vocabulary": f"{VOCABULARIES}/{{}}"}


@dataclass(frozen=True, kw_only=True)
class DropConfig:
    """Drop all rows of one featurizer, one vocabulary or one recogniser, by its id."""

    tables: str
    """Folder or bucket URL of the tables."""
    featurizer: str | None = None
    """Its videos and features go, its configuration, and its index."""
    vocabulary: str | None = None
    """Its documents go, its folder, and its indexes."""
    recognizer: str | None = None
    """Its transcripts go."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""

    def __post_init__(self) -> None:
        given = [name for name in TABLES_OF if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(
                "give one of --featurizer, --vocabulary and --recognizer; vbert info lists their ids"
            )

    @property
    def chosen(self) -> tuple[str, str]:
        """Which of the three, and its id."""
        (found,) = [(name, str(value)) for name in TABLES_OF if (value := getattr(self, name)) is not None]
        return found


@dataclass(kw_only=True)
class DropSummary:
    """What was found, and has gone unless it was a dry run."""

    num_files: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0


def drop(config: DropConfig) -> DropSummary:
    """Drop its rows in a commit a table. Their files go with the retention of compact_tables.

    UserError for an id that nothing has, for a featurizer whose vocabularies are there, and while a job
    needs the tables.
    """
    config = with_absolute_paths(config, "tables")
    kind, name = config.chosen
    tables = [table for table in (Table(config.tables, it) for it in TABLES_OF[kind]) if table.exists()]
    there = [table for table in tables if name in table.partitions()]
    beside = f"{config.tables}/{BESIDE[kind].format(name)}" if kind in BESIDE and is_id(name) else None
    filesystem, path = filesystem_of(beside or config.tables)
    if not there and not (beside and filesystem.exists(path)):
        known = sorted({partition for table in tables for partition in table.partitions()})
        raise UserError(
            f"{config.tables}: has no {kind} {name}; known are {', '.join(known) or 'none'} (vbert info)"
        )
    if kind == "featurizer":
        _refuse_vocabularies(config.tables, name)
    summary = DropSummary()
    for table in there:
        files = table.stored(partition=name)
        summary.num_files[table.layout.name] = len(files)
        summary.num_bytes += sum(file.size_bytes for file in files)
    if config.dry_run:
        return summary
    for pin in pins(config.tables):
        raise UserError(
            f"{config.tables}: {pin.job} still needs these tables; let it end, then run this again"
        )
    for table in there:  # features first: the ledger says what there is
        table.create()
        Committer(table, partition=name).clear()
    if beside:
        for uri in (beside, f"{config.tables}/{INDEXES}/{name}"):
            filesystem, path = filesystem_of(uri)
            if filesystem.exists(path):
                filesystem.rm(path, recursive=True)
    return summary


def _refuse_vocabularies(tables: str, featurizer: str) -> None:
    for uri in folders_in(tables):
        if load(uri).featurizer == featurizer:
            raise UserError(
                f"{tables}: vocabulary {uri.rsplit('/', 1)[-1]} was fitted on featurizer {featurizer}; drop "
                "that first (--vocabulary)"
            )
