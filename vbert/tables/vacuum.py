"""What no version needs any longer is deleted: files, and old entries of the log.

    list at a version -> leave what later ones name -> note it in the log -> delete

The note is a commit right after the last version that was looked at. So a job that commits one of the files
meanwhile either comes before the note, and the file stays, or after it, and finds that the file has waited
too long (`pins.is_safe`). Delta's own vacuum (delta-rs 1.6) deletes what it has listed, whatever was
committed since.
"""

from collections.abc import Iterable

from vbert.errors import UserError
from vbert.storage.files import patient
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import OUR_FILE, delete_files, stored_files
from vbert.tables.pins import LEAST_RETENTION_HOURS, pinned_hours, protected_hours, protected_versions

NO_PARTITION = ""  # of a note, which changes none
LOG_HOURS = 29 * 24  # Delta's own logRetentionDuration is 30 days


def vacuum(table: Table, *, retention_hours: int) -> list[str]:
    """Delete files that no version of the last `retention_hours` names; return their paths, sorted.

    A running job's uncommitted files stay, and so does what is pinned (`pins`). UserError, and nothing
    deleted, if one of the files is none that we write: somebody may want it.
    """
    delta = patient(table.open_in_place)()
    found = set(
        patient(delta.vacuum)(
            retention_hours=max(retention_hours, LEAST_RETENTION_HOURS, protected_hours(table.root)),
            dry_run=True,
            enforce_retention_duration=False,
            full=True,
            keep_versions=_readable(table, protected_versions(table.root, table.layout.name)) or None,
        )
    )
    others = sorted(path for path in found if not OUR_FILE.fullmatch(path))
    if others:
        raise UserError(f"{table.uri}: holds {others[0]}, which is not the table's; move it elsewhere")
    found &= set(stored_files(table.uri))  # Delta lists what an earlier vacuum has taken, too
    if found:
        _leave_what_was_committed(table, found, since=delta.version())
        delete_files(table.uri, table.layout, sorted(found))
    return sorted(found)


def _leave_what_was_committed(table: Table, found: set[str], *, since: int) -> None:
    """Take out of `found` what a version after `since` names, and note in the log that the rest goes."""
    seen = since

    def look(newest: int) -> None:
        nonlocal seen
        for version in range(seen + 1, newest + 1):
            delta = table.open(version)
            for partition in table.partitions_at(delta):
                found.difference_update(table.paths(partition=partition, at=delta))
        seen = newest

    Committer(table, partition=NO_PARTITION).note(look)


def forget_old_log(table: Table) -> None:
    """Delete the log's entries of more than a month ago, unless a pin is older: it needs its own."""
    if pinned_hours(table.root) < LOG_HOURS:
        patient(table.open_in_place().cleanup_metadata)()


def _readable(table: Table, versions: Iterable[int]) -> list[int]:
    """Those of them that the log still has, or has at all."""
    found = []
    for version in versions:
        try:
            table.open(version)
        except UserError:
            continue
        found.append(version)
    return found
