"""Data sets that people have: their authors' own files -> annotations, with the official splits.

Takes what the authors distribute, a folder or a file; gives rows of ANNOTATIONS. A reader names its videos as
the authors' files are named, and says where it found what is not as the authors write it.
"""

from collections.abc import Callable

import pyarrow as pa

from vbert.errors import UserError
from vbert.tasks.annotations import ANNOTATIONS, read_records_of_ones_own
from vbert.tasks.datasets.actions import charades, hmdb51, kinetics, something_something_v2, ucf101
from vbert.tasks.datasets.activitynet import activitynet, activitynet_captions, activitynet_qa
from vbert.tasks.datasets.authors_files import Rows
from vbert.tasks.datasets.descriptions import didemo, msrvtt, msvd, vatex
from vbert.tasks.datasets.importance import summe, tvsum
from vbert.tasks.datasets.instructions import coin, crosstask, epic_kitchens_100, howto100m, youcook2

OFFICIAL: dict[str, Callable[[str], Rows]] = {
    reader.__name__: reader
    for reader in (
        *(youcook2, activitynet, activitynet_captions, activitynet_qa, howto100m, msrvtt),
        *(msvd, vatex, didemo, coin, crosstask, epic_kitchens_100),
        *(kinetics, ucf101, hmdb51, something_something_v2, charades, tvsum, summe),
    )
}


def read_annotations(source: str, *, dataset: str = "records") -> pa.Table:
    """Annotations of a data set's own files, or (`records`) of a file of one's own."""
    if dataset == "records":
        return read_records_of_ones_own(source)
    if dataset not in OFFICIAL:
        raise UserError(f"--dataset {dataset}: must be records, {', '.join(OFFICIAL)}")
    try:
        rows = pa.Table.from_pylist(list(OFFICIAL[dataset](source)), schema=ANNOTATIONS)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = f"{type(error).__name__} {' '.join(str(error).split())}"
        raise UserError(f"{source}: not as the authors of {dataset} write it ({reason})") from error
    if rows.num_rows == 0:
        raise UserError(f"{source}: has no annotations of {dataset}")
    return rows
