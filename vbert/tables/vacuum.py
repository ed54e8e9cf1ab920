"""What no version needs any longer is deleted: files, and old entries of the log."""

from collections.abc import Iterable

from vbert.errors import UserError
from vbert.storage.files import patient
from vbert.tables.delta import Table, once_alone
from vbert.tables.parquet_files import OUR_FILE
from vbert.tables.pins import pinned_hours, protected_hours, protected_versions

LOG_HOURS = 29 * 24  # Delta's own logRetentionDuration is 30 days


def vacuum(table: Table, *, retention_hours: int) -> list[str]:
    """Delete files that no version of the last `retention_hours` names; return their paths.

    A running job's uncommitted files are younger than any sensible retention and stay; so does what is
    pinned (`pins`). UserError, and nothing deleted, if one of the files is none that we write: somebody may
    want it.
    """
    found = _vacuum(table, retention_hours, dry_run=True)
    others = [path for path in found if not OUR_FILE.fullmatch(path)]
    if others:
        raise UserError(f"{table.uri}: holds {others[0]}, which is not the table's; move it elsewhere")
    found = _vacuum(table, retention_hours, dry_run=False)
    return [path for path in found if OUR_FILE.fullmatch(path)]  # others went before


@once_alone
def _vacuum(table: Table, retention_hours: int, *, dry_run: bool) -> list[str]:
    """Delta notes in its log that it deletes: a commit, which another job's may come before."""
    return patient(table.open().vacuum)(
        retention_hours=max(retention_hours, protected_hours(table.root)),
        dry_run=dry_run,
        enforce_retention_duration=False,
        full=True,
        keep_versions=_readable(table, protected_versions(table.root, table.layout.name)) or None,
    )


def forget_old_log(table: Table) -> None:
    """Delete the log's entries of more than a month ago, unless a pin is older: it needs its own."""
    if pinned_hours(table.root) < LOG_HOURS:
        patient(table.open().cleanup_metadata)()


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
