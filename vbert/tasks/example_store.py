"""Examples on disk: a folder of Parquet files that fine-tuning writes once and its workers read."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from vbert.storage.files import filesystem_of
from vbert.tasks.examples import EXAMPLES, Row

VIDEO_COLUMNS = ("visual_tokens", "visual_token_start_seconds", "clip_seconds", "said")


class ExampleStore:
    """All examples of a folder or bucket, in Arrow's memory; Python has the columns of annotations alone.

    100,000 examples of 100 visual tokens are 120 MB.
    """

    def __init__(self, uri: str) -> None:
        filesystem, path = filesystem_of(uri)
        files = sorted(name for name in filesystem.ls(path, detail=False) if name.endswith(".parquet"))
        parts = [pyarrow.parquet.read_table(name, filesystem=filesystem, schema=EXAMPLES) for name in files]
        table = pa.concat_tables(parts) if parts else EXAMPLES.empty_table()
        self.table = table.sort_by("number").combine_chunks()

    def rows(self, *splits: str) -> list[dict[str, Any]]:
        """Examples of some splits that have clips, without their video, each with its place `at` in the
        store."""
        annotations = self.table.drop_columns(list(VIDEO_COLUMNS)).to_pylist()
        num_clips = pc.list_value_length(self.table["visual_tokens"]).to_pylist()
        found = ({**row, "at": at} for at, row in enumerate(annotations) if num_clips[at])
        return [row for row in found if row["split"] in splits]

    def with_video(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their video; what a task has put together has it in each of its intervals."""
        if rows and "intervals" in rows[0]:
            return [{**row, "intervals": self.with_video(row["intervals"])} for row in rows]
        video = self.table.select(list(VIDEO_COLUMNS)).take([row["at"] for row in rows]).to_pylist()
        return [{**row, **mine} for row, mine in zip(rows, video, strict=True)]
