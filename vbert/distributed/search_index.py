"""Ray makes what an index lacks: each shard on a worker, from the rows that it is of.

And scores windows with texts where no index can be: alignment looks at a text and a window together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from vbert.distributed.actors import blocks_of, outcomes_of_models
from vbert.distributed.cluster import connect
from vbert.documents.data_streams import Run
from vbert.progress import Progress
from vbert.search.hits import Hit, best_hits
from vbert.search.index import EXTENSION, delete_shards, shard_name, shard_runs, write_shard
from vbert.search.intervals import clips_of, intervals_of, windows_in
from vbert.storage.files import names_in
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.schemas import short_hash
from vbert.tasks.alignment import alignment_scores
from vbert.tasks.joint_space import embedded, open_joint_space

# 512 segments of 40 clips, or documents of 30 windows: 20,000 vectors, 50 MB of 1,280 float16.
ROWS_A_SHARD = 512


class Embedder(Protocol):
    """Rows of a table -> INTERVALS and their vectors float32 [n, dim]."""

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
        """All that is in the rows."""


class EmbedClips:
    """Clips of features, as they are."""

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
        """See Embedder."""
        return clips_of(rows)


class EmbedWindows:
    """Windows of documents, by a model for retrieval."""

    def __init__(self, *, model: str, window_seconds: float) -> None:
        self.model = open_joint_space(model)
        self.window_seconds = window_seconds

    def __call__(self, rows: pa.Table) -> tuple[pa.Table, np.ndarray]:
        """See Embedder."""
        windows = list(windows_in(rows, window_seconds=self.window_seconds))
        width = self.model.model.config.hidden_size
        vectors = embedded(self.model, windows)[1] if windows else np.zeros((0, width), np.float32)
        return intervals_of(windows), vectors


def shards_of(
    table: Table, *, partition: str, folder: str, embedder: type[Embedder], arguments: Mapping[str, Any]
) -> list[str]:
    """The shards of the newest version of a partition. What is lacking is made first, on workers, and what
    is of files that the table no longer has is deleted."""
    runs = shard_runs(table.files(partition=partition), num_rows=ROWS_A_SHARD)
    names = {shard_name(run): run for run in runs}
    there = set(names_in(folder))
    missing = [run for name, run in names.items() if name not in there]
    if missing:
        connect()
        with pinned(table.root, f"search-{short_hash(folder)}", job=f"search's index {folder}"):
            progress = Progress("index", total=len(missing), unit="shards")
            made_of = {"table": table, "folder": folder, "embedder": embedder, "arguments": arguments}
            blocks = blocks_of([asdict(run) for run in missing], size=1)
            for block in outcomes_of_models(WriteShard, blocks, arguments=made_of):
                progress.advance(block.num_rows)
            progress.finish()
    delete_shards([f"{folder}/{name}" for name in there - set(names) if name.endswith(EXTENSION)])
    return [f"{folder}/{name}" for name in names]


class WriteShard:
    """An actor: rows of path, first and num_rows in; the same out, when their shards are written."""

    def __init__(
        self, *, table: Table, folder: str, embedder: type[Embedder], arguments: Mapping[str, Any]
    ) -> None:
        self.table, self.folder = table, folder
        self.embedder = embedder(**arguments)

    def __call__(self, runs: pa.Table) -> pa.Table:
        """One shard after the other."""
        for row in runs.to_pylist():
            run = Run(**row)
            intervals, vectors = self.embedder(_rows(self.table, run))
            write_shard(f"{self.folder}/{shard_name(run)}", intervals, vectors)
        return runs


def aligned_windows(
    table: Table,
    *,
    partition: str,
    model: str,
    text: str,
    window_seconds: float,
    best: Mapping[str, int],
) -> list[Hit]:
    """The windows of all documents that a pretrained model's alignment gives the greatest log-odds.

    `best` is what `best_hits` takes.
    """
    runs = shard_runs(table.files(partition=partition), num_rows=ROWS_A_SHARD)
    connect()
    arguments = {
        "table": table,
        "model": model,
        "text": text,
        "window_seconds": window_seconds,
        "best": best,
    }
    progress = Progress("align", total=len(runs), unit="parts")
    hits: list[Hit] = []
    for block in outcomes_of_models(
        AlignWindows, blocks_of([asdict(run) for run in runs], size=1), arguments=arguments
    ):
        hits = best_hits([*hits, *(Hit(**row) for row in block.to_pylist())], **best)
        progress.advance(1)
    progress.finish()
    return hits


class AlignWindows:
    """An actor: rows of path, first and num_rows in; the best windows of their documents out."""

    def __init__(
        self, *, table: Table, model: str, text: str, window_seconds: float, best: Mapping[str, int]
    ) -> None:
        from vbert.training.checkpoints import ready_to_ask  # on workers only: it takes seconds

        self.table, self.window_seconds, self.best = table, window_seconds, best
        pretrained = ready_to_ask(model)
        self.model, self.vocabulary = pretrained.model, pretrained.vocabulary
        self.words = self.vocabulary.encode([text])[0]

    def __call__(self, runs: pa.Table) -> pa.Table:
        """Of each row of runs together."""
        hits = [hit for row in runs.to_pylist() for hit in self._hits(Run(**row))]
        return pa.Table.from_pylist([asdict(hit) for hit in best_hits(hits, **self.best)], schema=HITS)

    def _hits(self, run: Run) -> Iterator[Hit]:
        windows = list(windows_in(_rows(self.table, run), window_seconds=self.window_seconds))
        pairs = [(self.words, window["visual_tokens"]) for window in windows]
        scores = alignment_scores(self.model, self.vocabulary, pairs)
        for window, score in zip(windows, scores.tolist(), strict=True):
            where = {name: window[name] for name in ("video_id", "start_seconds", "end_seconds")}
            yield Hit(**where, score=score)


HITS = pa.schema(
    [
        ("video_id", pa.string()),
        *((name, pa.float64()) for name in ("start_seconds", "end_seconds", "score")),
    ]
)


def _rows(table: Table, run: Run) -> pa.Table:
    return table.read_rows(run.path, range(run.first, run.first + run.num_rows))
