"""The corpus: which videos and transcripts there are, and what changed since they were last featurized.

    files or a manifest -> list_corpus -> one row a video -> compare with the ledger -> what is left to do

Arrow in, Arrow out: a corpus has 100,000s of rows.
"""

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate

from vbert.corpus.listing import FileStamp, content_stamps, list_files, stat_files
from vbert.corpus.manifest import MANIFEST, read_manifest_lines
from vbert.corpus.sidecars import TRANSCRIPT_EXTENSIONS, best_sidecars
from vbert.errors import UserError
from vbert.storage.files import extension_of, local_path
from vbert.storage.records import READERS
from vbert.storage.secrets import refuse_secrets
from vbert.tables.schemas import video_id_of

CORPUS = pa.schema(
    [
        ("video_id", pa.string()),
        ("uri", pa.string()),
        (
            "fingerprint",
            pa.string(),
        ),  # changes when the file does; "missing": a manifest's file that is not there
        ("size_bytes", pa.int64()),  # null: missing, or the store does not say
        ("transcript_uri", pa.string()),  # null: none
        ("transcript_fingerprint", pa.string()),
    ]
)
PENDING = CORPUS.append(pa.field("change", pa.string()))  # new | changed | retried

VIDEO_EXTENSIONS = frozenset({
    "mp4", "m4v", "mkv", "webm", "mov", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "asf", "flv", "f4v",
    "ogv", "ogm", "3gp", "3g2", "vob", "mxf", "divx",
})  # fmt: skip
WILDCARD = re.compile(r"[*?[]")


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusChanges:
    """What a corpus has that a ledger does not, and the other way round."""

    pending: pa.Table
    """Videos to featurize, schema PENDING."""
    transcript_changed: pa.Table
    """Videos whose features hold but whose transcript came, went or changed, schema CORPUS."""
    removed: pa.Array
    """Ids of the ledger's videos that the corpus no longer has, in the ledger's order."""
    num_unchanged: int
    """Videos that need nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What was found where a corpus is said to be."""

    videos: pa.Table
    """Schema CORPUS, sorted by uri."""
    left_out: Mapping[str, int]
    """Files of a folder that are neither video nor transcript, by extension."""
    num_unused_transcripts: int = 0
    """Transcripts of a folder that no video has: of other languages, or of none of its videos."""
    num_repeated: int = 0
    """Lines of a manifest that say again what an earlier one says."""


def list_corpus(source: str, *, content_hash: bool = False, language: str = "en") -> pa.Table:
    """The videos of `look_at_corpus`."""
    return look_at_corpus(source, content_hash=content_hash, language=language).videos


def look_at_corpus(source: str, *, content_hash: bool = False, language: str = "en") -> Listing:
    """All videos of `source`.

    `source` is a folder (searched to its depths), a glob (`/data/*/*.mp4`, `s3://bucket/x/**/*.mkv`), one
    video, or a manifest (vbert/corpus/manifest.py); each local or an fsspec URL. The transcript of a folder's
    or glob's video lies beside it: for `talk.mp4` it is that of the `language` (`talk.en.vtt`), or else
    `talk.vtt`, or else that of another language, first by name (`sidecars`). A manifest's are those that it
    names.

    A fingerprint is the hash of size and modification time, or ETag; with `content_hash`, of the content, for
    which every file is read. UserError for a source that does not exist, cannot be read or has no video.
    """
    if not source:
        raise UserError("--corpus is empty; give a folder, a glob, a video or a manifest")
    refuse_secrets(source)
    left_out: Counter[str] = Counter()
    num_repeated = 0
    kind = _kind_of(source)
    match kind:
        case "manifest":
            videos, num_repeated = read_manifest_lines(source)
            stamps = stat_files(
                [*videos["uri"].to_pylist(), *videos["transcript_uri"].drop_null().to_pylist()]
            )
        case "folder":
            stamps = _list_media(source, max_depth=None, left_out=left_out)
            videos = _with_sidecars(stamps, lambda _: True, language)
        case "glob":
            stamps, is_match = _list_glob(source)
            videos = _with_sidecars(stamps, is_match, language)
        case "video":
            stamps, is_match = _list_glob(glob.escape(source))
            videos = _with_sidecars(stamps, is_match, language)
    if videos.num_rows == 0:
        kinds = ", ".join(sorted(VIDEO_EXTENSIONS))
        raise UserError(f"{source}: no video there (looked for {kinds}); correct the path")
    return Listing(
        videos=_corpus_table(videos, content_stamps(stamps) if content_hash else stamps),
        left_out=left_out,
        num_unused_transcripts=_num_unused(stamps, videos) if kind == "folder" else 0,
        num_repeated=num_repeated,
    )


def _num_unused(stamps: Iterable[str], videos: pa.Table) -> int:
    """JSON is more often a downloader's than a transcript."""
    used = set(videos["transcript_uri"].drop_null().to_pylist())
    return sum(
        extension_of(uri) in TRANSCRIPT_EXTENSIONS and extension_of(uri) != "json" and uri not in used
        for uri in stamps
    )


def compare(corpus: pa.Table, ledger: pa.Table, *, retry_failed: bool) -> CorpusChanges:
    """What is new, changed or gone; `ledger` has at most one row a video: it is one featurizer's.

    `ledger` needs the columns video_id, fingerprint, transcript_uri, transcript_fingerprint and status.
    With `retry_failed`, a video whose status is failed or partial is pending too.
    """
    row = pc.index_in(corpus["video_id"].combine_chunks(), value_set=ledger["video_id"].combine_chunks())
    known = ledger.take(row)  # the ledger's row of each video, nulls where it has none
    has_failed = pc.is_in(known["status"], value_set=pa.array(["failed", "partial"]))
    change = pc.case_when(
        pc.make_struct(
            pc.is_null(row),
            _differs(corpus["fingerprint"], known["fingerprint"]),
            pc.and_(has_failed, pa.scalar(retry_failed)),
        ),
        "new",
        "changed",
        "retried",
    )  # null: none of these
    has_other_transcript = pc.or_(
        _differs(corpus["transcript_uri"], known["transcript_uri"]),
        _differs(corpus["transcript_fingerprint"], known["transcript_fingerprint"]),
    )
    pending = corpus.append_column(PENDING.field("change"), change).filter(pc.is_valid(change))
    transcript_changed = corpus.filter(pc.and_(pc.is_null(change), has_other_transcript))
    is_removed = pc.invert(pc.is_in(ledger["video_id"], value_set=corpus["video_id"].combine_chunks()))
    return CorpusChanges(
        pending=pending,
        transcript_changed=transcript_changed,
        removed=ledger["video_id"].filter(is_removed).combine_chunks(),
        num_unchanged=corpus.num_rows - pending.num_rows - transcript_changed.num_rows,
    )


def _differs(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> pa.ChunkedArray:
    """Also true where only one of the two is null: no uri and no fingerprint is empty."""
    return pc.not_equal(pc.fill_null(ours, ""), pc.fill_null(theirs, ""))


def _kind_of(source: str) -> Literal["folder", "glob", "video", "manifest"]:
    """What exists goes by what it is: `talk [1].mp4` is a video, not a glob."""
    path = local_path(source)
    exists = path is not None and os.path.exists(path)  # noqa: PTH110
    if path is not None and os.path.isdir(path):  # noqa: PTH112
        return "folder"
    if WILDCARD.search(source) and not exists:
        return "glob"
    if extension_of(source) in READERS:
        return "manifest"
    if extension_of(source) in VIDEO_EXTENSIONS:
        return "video"
    if path is None:
        return "folder"
    if exists:
        kinds = ", ".join(f".{kind}" for kind in READERS)
        raise UserError(f"{source}: neither a folder, a video nor a manifest ({kinds}); name one of these")
    raise UserError(f"{source}: no such file or folder; correct the path")


def _list_media(
    folder: str, *, max_depth: int | None, left_out: Counter[str] | None = None
) -> dict[str, FileStamp]:
    extensions = VIDEO_EXTENSIONS.union(TRANSCRIPT_EXTENSIONS)
    return list_files(folder, extensions=extensions, max_depth=max_depth, left_out=left_out)


def _list_glob(pattern: str) -> tuple[dict[str, FileStamp], Callable[[str], bool]]:
    """The media of the folder that the pattern's first wildcard is in, and whether a uri matches it."""
    absolute = local_path(pattern) or pattern
    parts = absolute.split("/")
    num_fixed = next(i for i, part in enumerate([*parts[:-1], "*"]) if WILDCARD.search(part))
    try:
        regex = re.compile(glob_translate(absolute))
    except ValueError as error:
        raise UserError(f"{pattern}: not a glob ({error}); write ** between slashes") from error
    max_depth = None if "**" in parts else len(parts) - num_fixed
    stamps = _list_media("/".join(parts[:num_fixed]) or "/", max_depth=max_depth)
    return stamps, lambda uri: bool(regex.match(local_path(uri) or uri))


def _with_sidecars(stamps: dict[str, FileStamp], is_match: Callable[[str], bool], language: str) -> pa.Table:
    """The listing's videos that match, each with the best transcript beside it; schema MANIFEST."""
    uris = [uri for uri in stamps if extension_of(uri) in VIDEO_EXTENSIONS and is_match(uri)]
    sidecars = best_sidecars(
        [uri for uri in stamps if extension_of(uri) in TRANSCRIPT_EXTENSIONS],
        language=language,
        video_extensions=VIDEO_EXTENSIONS,
    )
    transcript_uris = [sidecars.get(uri.rpartition(".")[0]) for uri in uris]
    return pa.table([[video_id_of(uri) for uri in uris], uris, transcript_uris], schema=MANIFEST)


def _corpus_table(videos: pa.Table, stamps: dict[str, FileStamp]) -> pa.Table:
    video_stamps = [stamps[uri] for uri in videos["uri"].to_pylist()]
    transcript_uris = videos["transcript_uri"].to_pylist()
    columns = {
        "video_id": videos["video_id"],
        "uri": videos["uri"],
        "fingerprint": [stamp.fingerprint for stamp in video_stamps],
        "size_bytes": [stamp.size_bytes for stamp in video_stamps],
        "transcript_uri": videos["transcript_uri"],
        "transcript_fingerprint": [uri and stamps[uri].fingerprint for uri in transcript_uris],
    }
    return pa.table(columns, schema=CORPUS).sort_by("uri").combine_chunks()
