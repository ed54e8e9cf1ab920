"""Visual tokens + sentences -> files of documents, on all CPUs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.corpus.sidecars import stated_language
from vbert.distributed.actors import fetched
from vbert.documents.assembly import build_document, count_late_sentences
from vbert.documents.exclusion import COUNTS, with_exclusion, without_excluded
from vbert.errors import VideoError
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, TRANSCRIPTS
from vbert.text.language import facts_of_speech
from vbert.text.speech import recognizer_id
from vbert.text.transcripts import Sentence, read_transcript

SENTENCE_COLUMNS = ("sentences", "sentence_start_seconds", "sentence_end_seconds")
# What is counted in each file, as in the summary.
COUNTED = (
    *("num_tokens", "num_sentences", "num_late_sentences", "num_duplicates", "num_other_languages"),
    *COUNTS,
)
FILES = pa.schema(
    [
        ("path", pa.string()),
        ("partition", pa.string()),
        ("size_bytes", pa.int64()),
        ("num_rows", pa.int64()),
        ("stats", pa.string()),
        ("video_ids", pa.list_(pa.string())),
        *((name, pa.int64()) for name in COUNTED),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be written: the same for every worker."""

    tables: str
    vocabulary: str
    """Its id."""
    recognizer: str | None
    videos: pa.Table
    """Rows of the ledger, sorted by id; a bucket is `videos_per_bucket` of them."""
    videos_per_bucket: int
    captions: Mapping[str, list[Sentence]]
    """Of the videos that have any in the file of captions, by id."""
    exclude: Sequence[str]
    exclude_as_text: str | None
    """The same as documents have it."""
    language: str
    """The one that `other-languages` keeps, as `language_of` has it."""


class WriteDocuments:
    """An actor: rows of TOKENS in, all of some buckets; a file of documents written for each bucket, its row
    of FILES out."""

    def __init__(self, *, plan: "Plan | ray.ObjectRef[Plan]") -> None:
        self.plan: Plan = fetched(plan)
        self.transcripts = Table(self.plan.tables, TRANSCRIPTS)
        self.documents = Table(self.plan.tables, DOCUMENTS)

    def __call__(self, tokens: pa.Table) -> Iterator[pa.Table]:
        """A bucket at a time."""
        yield FILES.empty_table()
        for bucket in tokens["bucket"].unique().to_pylist():
            yield self._file(bucket, tokens.filter(pc.equal(tokens["bucket"], bucket)).to_pylist())

    def _file(self, bucket: int, tokens: Sequence[Mapping[str, Any]]) -> pa.Table:
        size = self.plan.videos_per_bucket
        videos = self.plan.videos.slice(bucket * size, size)
        segments: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in tokens:
            segments.setdefault((row["video_id"], row["fingerprint"]), []).append(row)
        spoken = self._spoken(videos["video_id"].to_pylist())
        rows = [
            self._document(video, mine, spoken)
            for video in videos.to_pylist()
            # Without: changed or pruned since the ledger was read; the next run has it as it is then.
            if (mine := segments.get((video["video_id"], video["fingerprint"])))
        ]
        if not rows:
            return FILES.empty_table()
        file = self.documents.write_file(pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
        facts = {
            "video_ids": [row["video_id"] for row in rows],
            "num_tokens": sum(len(row["visual_tokens"]) for row in rows),
            "num_sentences": sum(len(row["sentences"]) for row in rows),
            "num_late_sentences": sum(map(count_late_sentences, rows)),
            "num_duplicates": sum(row["excluded_for"] == "duplicates" for row in rows),
            "num_other_languages": sum(row["excluded_for"] == "other-languages" for row in rows),
            **{name: sum(row[name] for row in rows) for name in COUNTS},
        }
        return pa.Table.from_pylist([asdict(file) | facts], schema=FILES)

    def _document(
        self,
        video: Mapping[str, Any],
        segments: Sequence[Mapping[str, Any]],
        spoken: Mapping[tuple[str, str], list[Sentence]],
    ) -> dict[str, Any]:
        sentences = self._sentences(video, spoken)
        kept, counts = without_excluded(segments)
        tokens = [segment["tokens"] for segment in kept]
        document = build_document(video, kept, tokens, sentences, vocabulary=self.plan.vocabulary)
        facts = {**counts, "exclude": self.plan.exclude_as_text}
        facts |= facts_of_speech(document["sentences"], stated=self._stated_language(video))
        return with_exclusion(
            document | facts,
            is_copy=video["is_copy"],
            exclude=self.plan.exclude,
            language=self.plan.language,
        )

    def _stated_language(self, video: Mapping[str, Any]) -> str | None:
        if video["video_id"] in self.plan.captions or video["transcript_uri"] is None:
            return None
        return stated_language(video["transcript_uri"], video["uri"])

    def _spoken(self, video_ids: Sequence[str]) -> dict[tuple[str, str], list[Sentence]]:
        """What was recognised in the videos, by id and fingerprint."""
        if self.plan.recognizer is None:
            return {}
        rows = self.transcripts.read(
            columns=["video_id", "fingerprint", *SENTENCE_COLUMNS],
            partition=recognizer_id(self.plan.recognizer),
            video_ids=video_ids,
        )
        return {
            (row["video_id"], row["fingerprint"]): [
                Sentence(text=text, start_seconds=start, end_seconds=end)
                for text, start, end in zip(*(row[name] for name in SENTENCE_COLUMNS), strict=True)
            ]
            for row in rows.to_pylist()
        }

    def _sentences(
        self, video: Mapping[str, Any], spoken: Mapping[tuple[str, str], list[Sentence]]
    ) -> list[Sentence]:
        if video["video_id"] in self.plan.captions:
            return self.plan.captions[video["video_id"]]
        if video["transcript_uri"] is None:
            return spoken.get((video["video_id"], video["fingerprint"]), [])
        try:
            return read_transcript(video["transcript_uri"])
        except VideoError:
            return []  # featurize has put the reason into the ledger
