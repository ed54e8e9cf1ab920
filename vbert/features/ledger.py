"""The driver's half of featurization: what has been done, and commits in an order that loses nothing.

Features are committed before the ledger says that their video is done. Killed between the two, the next run
finds the segments in the features table and only writes the ledger's row.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vbert.features.planning import NOTE, VIDEO_COLUMNS
from vbert.tables.commits import Committer, Rewrite
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import FEATURES, VIDEOS

DONE = pa.schema(
    [
        ("video_id", pa.string()),
        ("fingerprint", pa.string()),
        ("segment_index", pa.int32()),
        ("num_clips", pa.int32()),
        ("num_dropped_clips", pa.int32()),
        ("warnings", pa.list_(pa.string())),
    ]
)
RewriteFor = Callable[[Collection[str]], Rewrite]


class Ledger:
    """The tables `videos` and `features` of one featurizer, as one run sees and changes them."""

    def __init__(self, root: str, *, featurizer: str, rewrite: RewriteFor | None = None) -> None:
        self.videos = Table(root, VIDEOS)
        self.features = Table(root, FEATURES)
        self.featurizer = featurizer
        self._rewrite = rewrite

    def listed_before(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Rows of the table `videos`, a file at a time, none where it has not been made yet. Makes nothing.

        UserError if one of the two tables' folders holds something else.
        """
        for table in (self.videos, self.features):
            table.refuse_others()
        return self.videos.parts_if_made(columns=columns, partition=self.featurizer)

    def make(self) -> None:
        """Make the tables that are not there, which the first commit does otherwise."""
        _ = self.video_commits, self.feature_commits

    @cached_property
    def video_commits(self) -> Committer:
        """This run's to the table `videos`."""
        self.videos.create()
        return Committer(self.videos, partition=self.featurizer)

    @cached_property
    def feature_commits(self) -> Committer:
        """This run's to the table `features`."""
        self.features.create()
        return Committer(self.features, partition=self.featurizer)

    def read(
        self, *, video_ids: Collection[str] | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Rows of the ledger."""
        return self.videos.read(
            columns=columns or VIDEOS.schema.names, partition=self.featurizer, video_ids=video_ids
        )

    def done_segments(self, video_ids: Collection[str]) -> pa.Table:
        """Committed segments of these videos, in whatever state the videos were then: rows of DONE."""
        found = self.features.read(
            columns=[*(name for name in DONE.names if name != "num_clips"), "clip_start_seconds"],
            partition=self.featurizer,
            video_ids=video_ids,
        )
        counts = pc.list_value_length(found["clip_start_seconds"])
        return found.append_column("num_clips", counts).select(DONE.names).cast(DONE)

    def put_transcripts(self, changed: pa.Table) -> None:
        """Note new transcripts of known videos (video_id, transcript_uri, ..., reason, notes).

        `reason` is null for a transcript that can be used whole. Nothing is decoded.
        """
        news = {row["video_id"]: row for row in changed.to_pylist()}
        rows = [_with_transcript(row, news[row["video_id"]]) for row in self.read(video_ids=news).to_pylist()]
        self._put_videos(rows, drop=news.keys())

    def mark_gone(self, video_ids: Collection[str], *, since: float | None) -> None:
        """Note since when videos are no longer in the corpus; None: they are back."""
        if video_ids:
            rows = self.read(video_ids=video_ids).to_pylist()
            self._put_videos([row | {"gone_since": since} for row in rows], drop=video_ids)

    def prune(self, video_ids: Collection[str]) -> None:
        """Drop all rows of these videos; features first, so that the next run goes on with a killed prune."""
        self.feature_commits.commit([], drop=video_ids, rewrite=self._rewriting(video_ids))
        self.video_commits.commit([], drop=video_ids)

    def put(
        self,
        files: Sequence[NewFile],
        videos: Sequence[dict[str, Any]],
        *,
        replaced: Collection[str],
        listed: Collection[str],
    ) -> None:
        """Commit feature files and the ledger rows of the videos that they complete.

        `replaced` videos lose their older features in the same commit, `listed` ones their older ledger row.
        """
        self.feature_commits.commit(files, drop=replaced, rewrite=self._rewriting(replaced))
        self._put_videos(videos, drop=listed)

    def _put_videos(self, rows: Sequence[dict[str, Any]], *, drop: Collection[str]) -> None:
        if rows:
            file = self.videos.write_file(pa.Table.from_pylist(list(rows), schema=VIDEOS.schema))
            self.video_commits.commit([file], drop=drop)

    def _rewriting(self, video_ids: Collection[str]) -> Rewrite | None:
        return self._rewrite(video_ids) if self._rewrite else None


def _with_transcript(row: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    failures = [failure for failure in row["failures"] if failure["stage"] != "transcript"]
    if news["reason"] is not None:
        failures.append({"segment_index": None, "stage": "transcript", "reason": news["reason"]})
    status = row["status"] if row["status"] == "failed" else ("partial" if failures else "ok")
    first = failures[0] if failures else {"stage": None, "reason": None}
    others = [text for text in row["warnings"] or [] if not text.startswith(NOTE)]
    return row | {
        "warnings": others + (news.get("notes") or []),
        "transcript_uri": news["transcript_uri"],
        "transcript_fingerprint": news["transcript_fingerprint"],
        "failures": failures,
        "status": status,
        "stage": first["stage"],
        "reason": first["reason"],
    }


def ledger_row(segments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rows of SEGMENTS of one video, none of them pending -> its row of VIDEOS."""
    ordered = sorted(segments, key=lambda row: row["segment_index"] or 0)
    video = ordered[0]
    failures = [
        {"segment_index": row["segment_index"], "stage": row["stage"], "reason": row["reason"]}
        for row in ordered
        if row["state"] == "failed"
    ]
    num_clips = sum(row["num_clips"] or 0 for row in ordered)
    num_dropped = sum(row["num_dropped_clips"] or 0 for row in ordered)
    if num_dropped and not failures:
        failures.append(
            {
                "segment_index": None,
                "stage": "decode",
                "reason": f"{num_dropped} clips dropped: corrupt frames",
            }
        )
    failures += _missing(ordered)
    if video["transcript_reason"] is not None:
        failures.append({"segment_index": None, "stage": "transcript", "reason": video["transcript_reason"]})
    first = failures[0] if failures else {"stage": None, "reason": None}
    return {name: video[name] for name in VIDEO_COLUMNS} | {
        "status": _status(num_clips, failures),
        "stage": first["stage"],
        "reason": first["reason"],
        "warnings": video["warnings"] + [text for row in ordered for text in row["segment_warnings"] or []],
        "num_clips": num_clips,
        "num_dropped_clips": num_dropped,
        "failures": failures,
    }


def _missing(segments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Failures for what the file promises and does not have."""
    if (lost := segments[0].get("lost")) is not None:
        return [{"segment_index": None, "stage": "probe", "reason": lost}]
    done = [row for row in segments if row["state"] == "done"]
    planned = sum(row.get("num_planned_clips") or 0 for row in done)
    num_missing = planned - sum((row["num_clips"] or 0) + (row["num_dropped_clips"] or 0) for row in done)
    if num_missing <= 0:
        return []
    reason = f"the stream ends {num_missing} clips before the header's duration"
    return [{"segment_index": None, "stage": "decode", "reason": reason}]


def _status(num_clips: int, failures: Sequence[dict[str, Any]]) -> str:
    if num_clips == 0:
        return "failed"
    return "partial" if failures else "ok"


class MicroBatch:
    """Finished segments and their files since the last commit.

    A new video's segments are committed as they come. A changed video's wait until all are there, so that a
    reader sees either its old rows or its new ones, whole.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[
            str, list[dict[str, Any]]
        ] = {}  # video -> its finished segments, of unfinished videos
        self._held: dict[str, list[NewFile]] = {}  # changed, unfinished video -> its files
        self._files: list[NewFile] = []
        self._finished: list[dict[str, Any]] = []
        self._replaced: set[str] = set()  # of the finished videos, those with older features
        self._listed: set[str] = set()  # and those with an older row in the ledger

    def add_file(self, file: NewFile, *, replaces_video: str | None) -> None:
        """A file of new videos' segments, or one of the changed video `replaces_video`."""
        if replaces_video is None:
            self._files.append(file)
        else:
            self._held.setdefault(replaces_video, []).append(file)

    def add_segment(self, segment: dict[str, Any]) -> dict[str, Any] | None:
        """A row of SEGMENTS that is done or failed. Returns the video's ledger row if it was the last one."""
        video_id = segment["video_id"]
        rows = self._open.setdefault(video_id, [])
        rows.append(segment)
        if len(rows) < segment["num_segments"]:
            return None
        del self._open[video_id]
        if segment["replaces"]:
            self._replaced.add(video_id)
            self._files += self._held.pop(video_id, [])
        if segment["is_listed"]:
            self._listed.add(video_id)
        row = ledger_row(rows)
        self._finished.append(row)
        return row

    def commit(self) -> None:
        """Put what is ready into the tables."""
        self._ledger.put(self._files, self._finished, replaced=self._replaced, listed=self._listed)
        self._files, self._finished = [], []
        self._replaced, self._listed = set(), set()
