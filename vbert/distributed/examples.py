"""Annotations and the documents of their videos, joined on all CPUs: the examples of a task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vbert.distributed.actors import outcomes
from vbert.distributed.attempts import actor_retries
from vbert.distributed.cluster import connect
from vbert.distributed.resources import count_cpus
from vbert.duplicates.splits import kept_ids, on_one_side
from vbert.errors import UserError
from vbert.storage.files import filesystem_of
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, DUPLICATES
from vbert.tasks.annotations import ANNOTATIONS, match_some, require_any
from vbert.tasks.datasets import read_annotations
from vbert.tasks.examples import DOCUMENT_COLUMNS, EXAMPLES, example_of, windows_of

# 1,000 annotations of a minute are 40,000 visual tokens.
ANNOTATIONS_A_TASK = 1000


@dataclass(frozen=True, kw_only=True)
class Videos:
    """The documents that examples are made from: one version of the table, one visual vocabulary."""

    tables: str
    vocabulary: str
    version: int

    @classmethod
    def latest(cls, tables: str, *, vocabulary: str) -> "Videos":
        """UserError if the vocabulary has no documents."""
        documents = Table(tables, DOCUMENTS)
        version = documents.version()
        if not documents.files(partition=vocabulary, version=version):
            raise UserError(
                f"{tables}: has no documents of vocabulary {vocabulary}, which the model was trained with; "
                "run build_documents with it first"
            )
        return cls(tables=tables, vocabulary=vocabulary, version=version)

    def read(self, columns: Sequence[str], *, video_ids: Sequence[str] | None = None) -> pa.Table:
        """Rows of some videos, or of all."""
        return Table(self.tables, DOCUMENTS).read(
            columns=list(columns), partition=self.vocabulary, video_ids=video_ids, version=self.version
        )


@dataclass(frozen=True, kw_only=True)
class Accounting:
    """How many annotations there are, and how many of them have no video in the table."""

    num_annotations: int
    num_without_video: int
    num_videos: int
    num_missing_videos: int
    num_straddling: int = 0
    """Annotations that are left out, since a copy of their video is in a later split (train, validation,
    test)."""


def annotations_of(
    videos: Videos, *, source: str, dataset: str, columns: Sequence[str], splits: Sequence[str]
) -> tuple[pa.Table, Accounting]:
    """The annotations of some splits whose video is there. UserError if none is, or a column is lacking."""
    found = read_annotations(source, dataset=dataset)
    require_any(found, source, columns)
    matched = match_some(found, videos.read(["video_id", "uri"]), source=source, tables=videos.tables)
    here = _on_one_side(matched.annotations, videos.tables)
    accounting = Accounting(
        num_annotations=found.num_rows,
        num_without_video=found.num_rows - matched.annotations.num_rows,
        num_videos=len(set(found["video_id"].to_pylist())),
        num_missing_videos=len(matched.missing),
        num_straddling=matched.annotations.num_rows - here.num_rows,
    )
    return here.filter(pc.is_in(here["split"], pa.array(splits))), accounting


def _on_one_side(annotations: pa.Table, tables: str) -> pa.Table:
    """By all that deduplicate has found, whichever features it has compared."""
    duplicates = Table(tables, DUPLICATES)
    for featurizer in duplicates.partitions() if duplicates.exists() else []:
        annotations = on_one_side(annotations, kept_ids(tables, featurizer))
    return annotations


def every_video(videos: Videos) -> pa.Table:
    """An annotation of each whole video that says nothing of it."""
    ids = videos.read(["video_id"])["video_id"].to_pylist()
    return pa.Table.from_pylist([{"video_id": name, "split": "test"} for name in ids], schema=ANNOTATIONS)


def examples_of(annotations: pa.Table, videos: Videos) -> Iterator[pa.Table]:
    """Rows of EXAMPLES, those of about ANNOTATIONS_A_TASK together, as they come."""
    return _on_cpus(JoinDocuments, annotations, {"videos": videos, "window_seconds": None})


def write_examples(annotations: pa.Table, videos: Videos, folder: str) -> None:
    """The same into Parquet files of a folder, from where they are made."""
    for _ in _on_cpus(WriteExamples, annotations, {"videos": videos, "folder": folder}):
        pass


def _on_cpus(kind: type[Any], annotations: pa.Table, arguments: Mapping[str, Any]) -> Iterator[pa.Table]:
    connect(with_data=False)
    blocks = numbered_blocks(annotations)
    return outcomes(
        kind,
        blocks,
        num_actors=min(count_cpus(), len(blocks)),
        arguments=arguments,
        options={"num_cpus": 1, **actor_retries()},
    )


def numbered_blocks(annotations: pa.Table) -> list[pa.Table]:
    """Annotations with their number, in the order of their videos, all of a video's in one block."""
    in_order = annotations.sort_by("video_id")
    return cut_between_videos(in_order.add_column(0, "number", pa.array(np.arange(in_order.num_rows))))


class JoinDocuments:
    """An actor: annotations with their number in, rows of EXAMPLES out.

    With `window_seconds` an annotation without times becomes one a window.
    """

    def __init__(self, *, videos: Videos, window_seconds: float | None) -> None:
        self.videos = videos
        self.window_seconds = window_seconds

    def __call__(self, annotations: pa.Table) -> pa.Table:
        """All annotations of some videos."""
        ids = sorted(set(annotations["video_id"].to_pylist()))
        rows = self.videos.read(DOCUMENT_COLUMNS, video_ids=ids)
        documents: Mapping[str, dict[str, Any]] = {row["video_id"]: row for row in rows.to_pylist()}
        examples = []
        for row in annotations.to_pylist():
            document = documents[row["video_id"]]
            mine = [row]
            if self.window_seconds is not None and row["start_seconds"] is None:
                mine = windows_of(row, document, window_seconds=self.window_seconds)
            examples += [example_of(one, document) for one in mine]
        return pa.Table.from_pylist(examples, schema=EXAMPLES)


class WriteExamples(JoinDocuments):
    """An actor: the same, written to a file of a folder; nothing out."""

    def __init__(self, *, videos: Videos, folder: str) -> None:
        super().__init__(videos=videos, window_seconds=None)
        self.folder = folder

    def __call__(self, annotations: pa.Table) -> pa.Table:
        """A file is named by its first annotation: done again, it is written again."""
        examples = super().__call__(annotations)
        filesystem, folder = filesystem_of(self.folder)
        filesystem.makedirs(folder, exist_ok=True)
        name = f"{folder}/{annotations['number'][0].as_py():09}.parquet"
        with filesystem.open(name, "wb") as file:
            pq.write_table(examples, file, compression="zstd")
        return examples.slice(0, 0)


def cut_between_videos(annotations: pa.Table) -> list[pa.Table]:
    """Parts of at least ANNOTATIONS_A_TASK rows, but for the last; rows are sorted by video."""
    ids = annotations["video_id"].combine_chunks()
    if len(ids) < 2:
        return [annotations]
    begins = np.flatnonzero(pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)) + 1
    cuts = [0]
    for begin in begins.tolist():
        if begin - cuts[-1] >= ANNOTATIONS_A_TASK:
            cuts.append(begin)
    ends = [*cuts[1:], len(ids)]
    return [annotations.slice(first, last - first) for first, last in zip(cuts, ends, strict=True)]
