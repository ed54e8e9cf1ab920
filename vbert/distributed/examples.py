"""Annotations and the documents of their videos, joined on all CPUs: the examples of a task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.distributed.actors import outcomes_on_cpus
from vbert.distributed.cluster import connect
from vbert.documents.continuous import FeatureReader
from vbert.duplicates.splits import kept_ids, on_one_side
from vbert.errors import UserError
from vbert.model.checkpoint_files import CONFIG, PROGRESS, read_json
from vbert.model.head_features import Moments, head_input_of, sum_of
from vbert.storage.files import filesystem_of
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, TableSchema
from vbert.tasks.annotations import ANNOTATIONS, match_some, require_any
from vbert.tasks.datasets import read_annotations
from vbert.tasks.example_store import in_parts, table_of, write_file
from vbert.tasks.examples import DOCUMENT_COLUMNS, EXAMPLES, Row, example_of, windows_of

# 1,000 annotations of a minute are 40,000 visual tokens.
ANNOTATIONS_A_TASK = 1000
MOMENTS = pa.schema(
    [("count", pa.int64()), ("sums", pa.list_(pa.float64())), ("squares", pa.list_(pa.float64()))]
)


@dataclass(frozen=True, kw_only=True)
class Videos:
    """The documents that examples are made from: one version of the table, one visual vocabulary; and with a
    `featurizer` also their clips' continuous features, of one version of that table."""

    tables: str
    vocabulary: str
    version: int
    featurizer: str | None = None
    features_version: int | None = None

    @classmethod
    def latest(cls, tables: str, *, vocabulary: str, featurizer: str | None = None) -> "Videos":
        """UserError if the vocabulary has no documents, or the featurizer no features."""
        version = _newest(
            tables,
            DOCUMENTS,
            partition=vocabulary,
            lacking=f"documents of vocabulary {vocabulary}, which the model was trained with; run "
            "build_documents with it first",
        )
        found = cls(tables=tables, vocabulary=vocabulary, version=version)
        if featurizer is None:
            return found
        features_version = _newest(
            tables,
            FEATURES,
            partition=featurizer,
            lacking=f"features of {featurizer}, which the model's visual tokens are of; run featurize, or "
            "fine-tune with --features tokens",
        )
        return replace(found, featurizer=featurizer, features_version=features_version)

    @classmethod
    def asked_about(cls, tables: str, *, model: str) -> "Videos":
        """The same for a fine-tuned model: with their clips' features, if its head sees them."""
        facts = read_json(model, PROGRESS)
        sees_features = head_input_of(read_json(model, CONFIG)) != "tokens"
        featurizer = facts["featurizer"] if sees_features else None
        return cls.latest(tables, vocabulary=facts["vocabulary"], featurizer=featurizer)

    @property
    def features(self) -> FeatureReader | None:
        """What reads the clips' continuous features, if they are wanted."""
        if self.featurizer is None or self.features_version is None:
            return None
        table = Table(self.tables, FEATURES)
        return FeatureReader(table=table, featurizer=self.featurizer, version=self.features_version)

    def read(self, columns: Sequence[str], *, video_ids: Sequence[str] | None = None) -> pa.Table:
        """Rows of some videos, or of all."""
        return Table(self.tables, DOCUMENTS).read(
            columns=list(columns), partition=self.vocabulary, video_ids=video_ids, version=self.version
        )


def _newest(tables: str, layout: TableSchema, *, partition: str, lacking: str) -> int:
    """The newest version of a table. UserError if the partition is `lacking`, which says the fix, too."""
    table = Table(tables, layout)
    version = table.version()
    if not table.files(partition=partition, version=version):
        raise UserError(f"{tables}: has no {lacking}")
    return version


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
    """Tables of examples (see example_store.rows_of), of about ANNOTATIONS_A_TASK each, as they come."""
    return _on_cpus(JoinDocuments, annotations, {"videos": videos, "window_seconds": None})


def write_examples(annotations: pa.Table, videos: Videos, folder: str) -> Moments | None:
    """The same into files of a folder (see ExampleStore), from where they are made; the moments of the
    training examples' features, if they have any."""
    written = _on_cpus(WriteExamples, annotations, {"videos": videos, "folder": folder})
    return sum_of(
        Moments(count=row["count"], sums=np.array(row["sums"]), squares=np.array(row["squares"]))
        for block in written
        for row in block.to_pylist()
    )


def _on_cpus(kind: type[Any], annotations: pa.Table, arguments: Mapping[str, Any]) -> Iterator[pa.Table]:
    blocks = numbered_blocks(annotations)
    if len(blocks) == 1:  # done before another process has started
        return iter([kind(**arguments)(*blocks)])
    connect()
    return outcomes_on_cpus(kind, blocks, arguments=arguments)


def numbered_blocks(annotations: pa.Table) -> list[pa.Table]:
    """Annotations with their number, in the order of their videos, all of a video's in one block."""
    in_order = annotations.sort_by("video_id")
    return cut_between_videos(in_order.add_column(0, "number", pa.array(np.arange(in_order.num_rows))))


class JoinDocuments:
    """An actor: annotations with their number in, a table of examples out.

    With `window_seconds` an annotation without times becomes one a window.
    """

    def __init__(self, *, videos: Videos, window_seconds: float | None) -> None:
        self.videos = videos
        self.window_seconds = window_seconds

    def __call__(self, annotations: pa.Table) -> pa.Table:
        """All annotations of some videos."""
        with_features = self.videos.features is not None
        tables = [table_of(rows, with_features=with_features) for rows in self.parts(annotations)]
        return pa.concat_tables(tables) if tables else EXAMPLES.empty_table()

    def parts(self, annotations: pa.Table) -> Iterator[list[dict[str, Any]]]:
        """The same as rows of EXAMPLES, which may have `features`; all of a video together, of as many videos
        as `in_parts` takes."""
        ids = sorted(set(annotations["video_id"].to_pylist()))
        rows = self.videos.read(DOCUMENT_COLUMNS, video_ids=ids)
        asked: dict[str, list[Row]] = {name: [] for name in ids}
        for row in annotations.to_pylist():
            asked[row["video_id"]].append(row)
        reader = self.videos.features
        for some in in_parts(sorted(rows.to_pylist(), key=lambda row: str(row["video_id"]))):
            documents = some if reader is None else reader.with_vectors(some)
            yield [
                example_of(one, document)
                for document in documents
                for row in asked[document["video_id"]]
                for one in self._intervals(row, document)
            ]

    def _intervals(self, row: Row, document: Row) -> list[Row]:
        if self.window_seconds is None or row["start_seconds"] is not None:
            return [row]
        return list(windows_of(row, document, window_seconds=self.window_seconds))


class WriteExamples(JoinDocuments):
    """An actor: the same, written to a file of a folder; out come the Moments of the features of the split
    train, a row for each part, if there are features."""

    def __init__(self, *, videos: Videos, folder: str) -> None:
        super().__init__(videos=videos, window_seconds=None)
        self.folder = folder

    def __call__(self, annotations: pa.Table) -> pa.Table:
        """Files are named by their first annotation: done again, they are written again."""
        filesystem, folder = filesystem_of(self.folder)
        filesystem.makedirs(folder, exist_ok=True)
        name = f"{self.folder.rstrip('/')}/{annotations['number'][0].as_py():09}"
        moments: list[dict[str, Any]] = []
        with_features = self.videos.features is not None
        write_file(name, self._measured(annotations, moments), with_features=with_features)
        return pa.Table.from_pylist(moments, schema=MOMENTS)

    def _measured(
        self, annotations: pa.Table, moments: list[dict[str, Any]]
    ) -> Iterator[list[dict[str, Any]]]:
        """The parts as they are; their moments are added to a list."""
        for rows in self.parts(annotations):
            training = [row for row in rows if row["split"] == "train" and "features" in row]
            found = sum_of(Moments.of(row["features"]) for row in training if len(row["features"]))
            if found is not None:
                moments.append(asdict(found))
            yield rows


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
