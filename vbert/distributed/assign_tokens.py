"""Features files -> visual tokens, on all CPUs: each file is read once, whichever videos are in it.

A vector of 5 KB becomes a token of 4 bytes where it is read; only tokens travel to where the video's document
is written.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.distributed.actors import fetched, outcome_refs
from vbert.distributed.attempts import actor_retries
from vbert.distributed.resources import count_cpus
from vbert.documents.exclusion import clip_exclusions
from vbert.progress import Progress
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, SIGNALS, unpack_vectors
from vbert.tables.selection import Among
from vbert.vocabulary.tree import Vocabulary

COLUMNS = ["video_id", "fingerprint", "clip_seconds", "clip_start_seconds"]
# One row a segment.
TOKENS = pa.schema(
    [
        ("bucket", pa.int32()),
        *(FEATURES.schema.field(name) for name in COLUMNS),
        ("tokens", pa.list_(pa.int32())),
        ("excluded", pa.list_(pa.int8())),  # see clip_exclusions
    ]
)
FILES_PER_TASK = 16
BLOCKS_PER_WORKER = 4


class Buckets:
    """Videos in the order of their ids, cut into parts of about the same number."""

    def __init__(self, video_ids: Sequence[str], *, size: int) -> None:
        """`video_ids` are sorted."""
        self.selection = Among(video_ids)
        self._firsts = list(video_ids[::size])

    def __len__(self) -> int:
        return len(self._firsts)

    def of(self, video_id: str) -> int:
        """The number of the bucket that a video is in."""
        return bisect_right(self._firsts, video_id) - 1


def tokens_of(
    buckets: Buckets, *, tables: str, vocabulary: Vocabulary, exclude: Sequence[str]
) -> "list[ray.ObjectRef[pa.Table]]":
    """Where the rows of TOKENS of all these videos lie, those of some files together."""
    features = Table(tables, FEATURES)
    paths = features.paths_that_may_hold(buckets.selection, partition=vocabulary.featurizer)
    num_workers = max(1, min(count_cpus(), len(paths)))
    per_task = max(1, min(FILES_PER_TASK, len(paths) // (BLOCKS_PER_WORKER * num_workers)))
    progress = Progress("assign tokens", total=len(paths), unit="files")
    found = []
    for ref in outcome_refs(
        AssignTokens,
        [pa.table({"path": paths[at : at + per_task]}) for at in range(0, len(paths), per_task)],
        num_actors=num_workers,
        arguments={
            "tables": tables,
            "vocabulary": ray.put(vocabulary),
            "buckets": ray.put(buckets),
            "exclude": exclude,
        },
        options={"num_cpus": 1, **actor_retries()},
    ):
        found.append(ref)
        progress.advance(per_task)
    progress.finish()
    return found


class AssignTokens:
    """An actor: paths of features files in, rows of TOKENS out."""

    def __init__(
        self,
        *,
        tables: str,
        vocabulary: "Vocabulary | ray.ObjectRef[Vocabulary]",
        buckets: "Buckets | ray.ObjectRef[Buckets]",
        exclude: Sequence[str],
    ) -> None:
        self.features = Table(tables, FEATURES)
        self.vocabulary: Vocabulary = fetched(vocabulary)
        self.buckets: Buckets = fetched(buckets)
        self.exclude = exclude

    def __call__(self, files: pa.Table) -> Iterator[pa.Table]:
        """A row group at a time: 13 MB of vectors."""
        yield TOKENS.empty_table()
        for path in files["path"].to_pylist():
            columns = [*COLUMNS, "features", *SIGNALS]
            for rows in self.features.row_groups(path, columns=columns, selection=self.buckets.selection):
                yield self._tokens(rows)

    def _tokens(self, rows: pa.Table) -> pa.Table:
        every = self.vocabulary.assign(unpack_vectors(rows["features"]))
        counts = pc.list_value_length(rows["clip_start_seconds"]).to_numpy()
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
        signals = rows.select(["clip_start_seconds", *SIGNALS]).to_pylist()
        excluded = [clip_exclusions(segment, self.exclude) for segment in signals]
        columns = {
            "bucket": [self.buckets.of(video_id) for video_id in rows["video_id"].to_pylist()],
            "tokens": pa.ListArray.from_arrays(offsets, pa.array(every, pa.int32())),
            "excluded": pa.array(excluded, pa.list_(pa.int8())),
        }
        here = {name: rows[name] for name in COLUMNS}
        return pa.table(columns | here).select(TOKENS.names).cast(TOKENS)
