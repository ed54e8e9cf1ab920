"""Copies of one video on one side: of training and validation, and of a data set's splits."""

from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from vbert.tables.delta import Table
from vbert.tables.schemas import DUPLICATES

ORDER = ("train", "validation", "test")  # a cluster's videos belong to the last of their splits


def kept_ids(tables: str, featurizer: str, *, version: int | None = None) -> dict[str, str]:
    """For each copy the video of its cluster that is kept, by the table `duplicates`."""
    rows = Table(tables, DUPLICATES).read(
        columns=["video_id", "kept_id"], partition=featurizer, version=version
    )
    copies = rows.filter(pc.not_equal(rows["video_id"], rows["kept_id"]))
    return dict(zip(copies["video_id"].to_pylist(), copies["kept_id"].to_pylist(), strict=True))


def with_copies(video_ids: Collection[str], kept: Mapping[str, str]) -> frozenset[str]:
    """Some videos and all that show the same as one of them; `kept` is what `kept_ids` gives."""
    wanted = {kept.get(name, name) for name in video_ids}
    copies = (name for name, kept_id in kept.items() if kept_id in wanted)
    return frozenset([*video_ids, *wanted, *copies])


def on_one_side(annotations: pa.Table, kept: Mapping[str, str]) -> pa.Table:
    """The annotations (columns video_id and split) without those of copies whose cluster has a video in a
    later split: nothing is tested on that another video has taught."""
    names = [kept.get(name, name) for name in annotations["video_id"].to_pylist()]
    splits = [ORDER.index(split) for split in annotations["split"].to_pylist()]
    last: dict[str, int] = {}
    for name, split in zip(names, splits, strict=True):
        last[name] = max(last.get(name, 0), split)
    return annotations.filter([split == last[name] for name, split in zip(names, splits, strict=True)])
