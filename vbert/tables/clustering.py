"""Which files compaction puts together, so that they are few and an id is looked for in few of them.

Each file that it writes is sorted by id and holds ids from one to another. Files whose ranges overlap are
merged level by level, as in a log-structured merge tree: wide ones, that a night's run has left, with each
other, and narrow ones with narrow ones, so that a row is written again once a level and not every night.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import pyarrow as pa

from vbert.tables.delta import Table
from vbert.tables.parquet_files import VIDEO_ID, NewFile, StoredFile, write_parquet
from vbert.tables.selection import Between

SHARD_BYTES = 256_000_000  # 128 to 512 MB read well
MAX_DEPTH = 8  # of files of a level whose ranges overlap: of ten million videos there are three levels

Filled: TypeAlias = tuple[StoredFile, float]  # and how much of a file of the wanted size it is


def files_to_join(table: Table, *, partition: str, target_bytes: int) -> list[list[StoredFile]]:
    """Groups of files, each to be made into files of about `target_bytes`: small ones that are neighbours,
    one that is too large, and those among which an id would have to be looked for in too many."""
    small, others = _by_size(table, partition, target_bytes)
    groups = _neighbours(small)
    groups += [[file] for file, fill in others if fill > 2]
    groups += _overlapping([file for file, fill in others if fill <= 2])
    return groups


def small_neighbours(table: Table, *, partition: str, target_bytes: int) -> list[list[StoredFile]]:
    """The first kind of these groups alone: after which there are at most half as many small files."""
    return _neighbours(_by_size(table, partition, target_bytes)[0])


def join_files(
    table: Table, files: Sequence[StoredFile], *, partition: str, target_bytes: int
) -> list[NewFile]:
    """Write the rows of several files, sorted, to new ones of about `target_bytes`, uncommitted."""
    paths = [file.path for file in files]
    num_files = max(1, round(sum(_fill(file, table, target_bytes) for file in files)))
    made_with = [one for path in paths for one in table.provenance(path)]
    order = [(name, "ascending") for name in table.layout.key if name != table.layout.partition]
    joined = []
    for selection in _ranges(table, paths, num_files):
        parts = [rows for path in paths for rows in table.row_groups(path, selection=selection)]
        rows = pa.concat_tables(parts).sort_by(order)
        joined.append(
            write_parquet(table.uri, table.layout, [rows], partition=partition, provenance=made_with)
        )
    return joined


def _fill(file: StoredFile, table: Table, target_bytes: int) -> float:
    """How much of a file of the wanted size it is, in bytes or rows."""
    return max(file.size_bytes / target_bytes, file.num_rows / table.layout.rows_per_file)


def _by_size(table: Table, partition: str, target_bytes: int) -> tuple[list[Filled], list[Filled]]:
    """Those of less than half the wanted size, and the others; in the order of their least ids."""
    files = sorted(table.stored(partition=partition), key=lambda file: (file.least_id, file.path))
    filled = [(file, _fill(file, table, target_bytes)) for file in files]
    return [one for one in filled if one[1] < 0.5], [one for one in filled if one[1] >= 0.5]


def _neighbours(files: Iterable[Filled]) -> list[list[StoredFile]]:
    """Files in the order of their ids, cut where a group would be more than one file of the wanted size;
    without groups of one."""
    groups: list[list[StoredFile]] = [[]]
    filled = 0.0
    for file, fill in files:
        if filled + fill > 1 and groups[-1]:
            groups.append([])
            filled = 0.0
        groups[-1].append(file)
        filled += fill
    return [group for group in groups if len(group) > 1]


def _overlapping(files: Sequence[StoredFile]) -> Iterator[list[StoredFile]]:
    """Groups of more than MAX_DEPTH files of one level that all overlap; `files` is sorted by the least id.

    A file's level is the logarithm of how many others begin within its range.
    """
    firsts = [file.least_id for file in files]
    levels: dict[int, list[StoredFile]] = {}
    for number, file in enumerate(files):
        width = bisect_left(firsts, file.greatest_id) - number
        level = next(level for level in range(64) if width < MAX_DEPTH ** (level + 1))
        levels.setdefault(level, []).append(file)
    for mine in levels.values():
        open_files: list[StoredFile] = []
        for file in mine:
            open_files = [other for other in open_files if other.greatest_id > file.least_id]
            open_files.append(file)
            if len(open_files) > MAX_DEPTH:
                yield open_files
                open_files = []


def _ranges(table: Table, paths: Sequence[str], num_files: int) -> list[Between]:
    """Ranges of ids that hold about the same number of rows each; a video is not cut."""
    if num_files == 1:
        return [Between()]
    parts = [rows[VIDEO_ID] for path in paths for rows in table.row_groups(path, columns=[VIDEO_ID])]
    ids = sorted(name for part in parts for name in part.to_pylist())
    cuts = sorted({ids[len(ids) * number // num_files] for number in range(1, num_files)} - {ids[0]})
    return [Between(first, end) for first, end in pairwise([None, *cuts, None])]
