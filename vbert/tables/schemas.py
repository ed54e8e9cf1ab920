"""The schema and key of every table: the one place that knows the columns.

Times are seconds from the start of the presentation (the container's start time is 0), as players and
transcripts count them. A clip is named by its start; all clips of a table row have the same length.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from vbert.storage.secrets import without_secrets

FAILURE = pa.struct([("segment_index", pa.int32()), ("stage", pa.string()), ("reason", pa.string())])

SCHEMA_VERSION = "vbert.schemaVersion"  # a property of each table; without it: 1
# Whoever opens a table reads the commits since the log was summed up, each in a request: Delta's own are 100.
# A sum takes 0.01 s, and 5 s for each million files of the table.
COMMITS_A_CHECKPOINT = 10
LOG_PROPERTIES = {
    "delta.enableExpiredLogCleanup": "false",  # `vacuum` says what goes: a pinned version needs its own
    "delta.checkpointInterval": str(COMMITS_A_CHECKPOINT),
}


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """What a Delta table holds, which columns name a row, and which column partitions its files."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    partition: str
    rows_per_group: int
    """Of a Parquet file: what is read at once for one row."""
    rows_per_file: int
    """More are not put together: what is rewritten for one row that changes."""
    narrow: tuple[str, ...] = ()
    """Columns that are compared in whole, a few bytes a row: a narrow file beside each file has them, too,
    and one request gets them all."""
    is_narrow: bool = False
    """Whether all columns together are a few bytes a row: one request gets a file."""
    added: Mapping[str, int] = field(default_factory=dict)
    """Columns that a later release added, null in tables of an earlier one, and the schema's version then."""

    @property
    def version(self) -> int:
        """Of the schema; a release refuses tables of a later one."""
        return max(self.added.values(), default=1)

    @property
    def properties(self) -> dict[str, str]:
        """Of a table that has it."""
        return {SCHEMA_VERSION: str(self.version), **LOG_PROPERTIES}


VIDEOS = TableSchema(
    name="videos",
    key=("video_id", "featurizer"),
    partition="featurizer",
    # The ledger: one row a video and featurizer, whether it worked or not.
    schema=pa.schema(
        [
            ("video_id", pa.string()),
            ("featurizer", pa.string()),  # id of the featurizer's configuration, e.g. s3d-1f0c22ab
            ("uri", pa.string()),
            ("fingerprint", pa.string()),  # changes when the file does
            ("size_bytes", pa.int64()),
            ("transcript_uri", pa.string()),  # null: none
            ("transcript_fingerprint", pa.string()),
            ("duration_seconds", pa.float64()),  # from the header, like all up to rotation; null: unknown
            ("fps", pa.float64()),
            ("width", pa.int32()),  # as shown, after rotation
            ("height", pa.int32()),
            ("codec", pa.string()),
            ("pixel_format", pa.string()),
            ("rotation", pa.int32()),  # degrees counter-clockwise, 0, 90, 180 or 270
            ("status", pa.string()),  # ok | partial (some segments failed) | failed (nothing usable)
            ("stage", pa.string()),  # of the first failure: probe | decode | features
            ("reason", pa.string()),
            ("warnings", pa.list_(pa.string())),  # used, but with a grain of salt: no timestamps, ended early
            ("num_segments", pa.int32()),
            ("num_clips", pa.int32()),
            ("num_dropped_clips", pa.int32()),  # too corrupt to use
            ("failures", pa.list_(FAILURE)),
            (
                "gone_since",
                pa.float64(),
            ),  # when first missed, seconds since 1970; null: it is there
        ]
    ),
    is_narrow=True,
    # A row takes some 75 bytes: 10 MB a file, rewritten in half a second.
    rows_per_group=4096,
    rows_per_file=131_072,
    # What tells whether a video has changed, and is of use: 17 bytes, compressed, and 20 of a transcript.
    narrow=(
        *("video_id", "fingerprint", "transcript_uri", "transcript_fingerprint"),
        *("status", "num_clips", "gone_since"),
    ),
    added={"gone_since": 2},
)

SIGNALS = ("motion", "brightness", "sharpness", "cut")  # columns of FEATURES: see features.signals

FEATURES = TableSchema(
    name="features",
    key=("video_id", "featurizer", "segment_index"),
    partition="featurizer",
    # One row a segment.
    schema=pa.schema(
        [
            ("video_id", pa.string()),
            ("featurizer", pa.string()),
            ("fingerprint", pa.string()),  # of the video that was decoded
            ("segment_index", pa.int32()),
            ("clip_seconds", pa.float64()),
            ("clip_start_seconds", pa.list_(pa.float64())),
            # One vector a clip, float32 that holds float16 values: Delta has no float16.
            ("features", pa.list_(pa.list_(pa.float32()))),
            ("num_dropped_clips", pa.int32()),
            ("warnings", pa.list_(pa.string())),
            # What each clip looks like; null where the segment was done by an earlier release.
            *((name, pa.list_(pa.float32())) for name in SIGNALS),
        ]
    ),
    # A segment of 40 clips x 1,280 float32 is 200 KB: 13 MB a group, 1 GB a file before compression.
    rows_per_group=64,
    rows_per_file=5_000,
    narrow=("video_id",),
    added=dict.fromkeys(SIGNALS, 2),
)

DOCUMENTS = TableSchema(
    name="documents",
    key=("video_id", "vocabulary"),
    partition="vocabulary",
    # One row a video: all its visual tokens and all its sentences, each in time order.
    schema=pa.schema(
        [
            ("video_id", pa.string()),
            ("vocabulary", pa.string()),  # id of the visual vocabulary, which names its featurizer
            ("uri", pa.string()),
            ("fingerprint", pa.string()),
            ("transcript_fingerprint", pa.string()),
            ("duration_seconds", pa.float64()),
            ("clip_seconds", pa.float64()),
            ("visual_tokens", pa.list_(pa.int32())),  # leaf of the vocabulary, 0 .. num_leaves - 1
            ("visual_token_start_seconds", pa.list_(pa.float64())),
            ("sentences", pa.list_(pa.string())),
            ("sentence_start_seconds", pa.list_(pa.float64())),
            ("sentence_end_seconds", pa.list_(pa.float64())),
            ("language", pa.string()),  # of the speech, ISO 639-3; null: not known, as all that follow
            ("whole_word_share", pa.float32()),  # of its words: those that are one English word piece
            ("exclude", pa.string()),  # what the build left out, as `stills cuts`; null: nothing
            ("excluded_for", pa.string()),  # duplicates | other-languages; null: the document is not empty
            *((f"num_{name}", pa.int32()) for name in ("black", "stills", "cuts")),  # clips left out
        ]
    ),
    # Five minutes are 200 tokens and 50 sentences: 3 KB. Training reads groups in random order.
    rows_per_group=64,
    rows_per_file=131_072,
    # What tells whether one still holds: 25 bytes, compressed.
    narrow=("video_id", "fingerprint", "transcript_fingerprint", "exclude", "excluded_for"),
    added=dict.fromkeys(
        (
            *("language", "whole_word_share", "exclude", "excluded_for"),
            *("num_black", "num_stills", "num_cuts"),
        ),
        2,
    ),
)

TRANSCRIPTS = TableSchema(
    name="transcripts",
    key=("video_id", "recognizer"),
    partition="recognizer",
    # One row a video that was listened to.
    schema=pa.schema(
        [
            ("video_id", pa.string()),
            ("recognizer", pa.string()),  # id of what recognised the speech
            ("uri", pa.string()),
            ("fingerprint", pa.string()),  # of the video
            ("status", pa.string()),  # spoken | silent | failed
            ("reason", pa.string()),  # null: nothing went wrong
            ("text_fingerprint", pa.string()),  # changes when the sentences do; null: there are none
            ("sentences", pa.list_(pa.string())),
            ("sentence_start_seconds", pa.list_(pa.float64())),
            ("sentence_end_seconds", pa.list_(pa.float64())),
        ]
    ),
    rows_per_group=512,
    rows_per_file=131_072,
)

DUPLICATES = TableSchema(
    name="duplicates",
    key=("video_id", "featurizer"),
    partition="featurizer",
    # One row a video that was compared with all others; one without copies is a cluster of its own.
    schema=pa.schema(
        [
            ("video_id", pa.string()),
            ("featurizer", pa.string()),
            ("fingerprint", pa.string()),  # of the video
            ("num_clips", pa.int32()),
            ("signature", pa.list_(pa.int64())),  # keys of its clips, of which copies share some
            ("cluster", pa.string()),  # the least id of the videos that show the same
            ("kept_id", pa.string()),  # that of them to keep, the longest, whose split the others have
            ("share", pa.float64()),  # of its clips, or of a shorter copy's, that agree; 1 of the kept one
            ("offset_seconds", pa.float64()),  # when it begins in the kept one; negative: before it
        ]
    ),
    # A row takes a kilobyte.
    rows_per_group=1024,
    rows_per_file=65_536,
)

TABLES = (VIDEOS, FEATURES, TRANSCRIPTS, DOCUMENTS, DUPLICATES)


def pack_vectors(vectors: list[np.ndarray]) -> pa.Array:
    """Float32 [num_clips, dim] arrays, one a row -> a column of `FEATURES.features`."""
    clips_a_row = [len(rows) for rows in vectors]
    dims_a_clip = [rows.shape[1] for rows in vectors for _ in rows]
    flat = np.concatenate([rows.ravel() for rows in vectors]) if vectors else np.zeros(0, np.float32)
    inner = pa.ListArray.from_arrays(_offsets(dims_a_clip), pa.array(flat, pa.float32()))
    return pa.ListArray.from_arrays(_offsets(clips_a_row), inner)


def unpack_vectors(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of `FEATURES.features` -> float32 [clips of all rows, dim]."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    inner = array.flatten()
    values: np.ndarray = inner.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(inner), -1) if len(inner) else values.reshape(0, 0)


def _offsets(lengths: list[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pa.int32())


def short_hash(*parts: str) -> str:
    """16 hexadecimal digits that name `parts` (64 bits: 10 M ids collide with a chance of 3e-6)."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def is_id(name: object) -> bool:
    """Whether it is an id as we make them, of a featurizer or a vocabulary: those become names of files, so
    that one read from a file may hold no path."""
    return isinstance(name, str) and re.fullmatch(r"[\w-]+", name) is not None


def video_id_of(uri: str) -> str:
    """The id of a video that the manifest gives none: a hash of where it lies, which no signature changes."""
    return short_hash(without_secrets(uri))
