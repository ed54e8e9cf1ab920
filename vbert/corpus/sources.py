"""What a corpus is said to be: a folder, a glob, a video or a manifest -> one row a video.

Arrow out, some rows at a time: a corpus has millions of them.
"""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import pyarrow as pa
from fsspec.utils import glob_translate

from vbert.corpus.listing import FileStamp, content_stamps, list_files, stat_files
from vbert.corpus.manifest import MANIFEST, manifest_parts
from vbert.corpus.set_aside import SetAside
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

VIDEO_EXTENSIONS = frozenset({
    "mp4", "m4v", "mkv", "webm", "mov", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "asf", "flv", "f4v",
    "ogv", "ogm", "3gp", "3g2", "vob", "mxf", "divx",
})  # fmt: skip
MEDIA = VIDEO_EXTENSIONS.union(TRANSCRIPT_EXTENSIONS)
WILDCARD = re.compile(r"[*?[]")


def list_corpus(source: str, *, content_hash: bool = False, language: str = "en") -> pa.Table:
    """All videos of `corpus_parts` in one table, sorted by uri."""
    parts = corpus_parts(source, SetAside(), content_hash=content_hash, language=language)
    return pa.concat_tables(parts).sort_by("uri").combine_chunks()


def corpus_parts(
    source: str, set_aside: SetAside, *, content_hash: bool = False, language: str = "en"
) -> Iterator[pa.Table]:
    """All videos of `source`, schema CORPUS, some at a time; what else is there, `set_aside` counts.

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
    num_videos = 0
    for videos, stamps in _videos_with_stamps(source, set_aside, language):
        num_videos += videos.num_rows
        yield _corpus_table(videos, content_stamps(stamps) if content_hash else stamps)
    if not num_videos:
        kinds = ", ".join(sorted(VIDEO_EXTENSIONS))
        raise UserError(f"{source}: no video there (looked for {kinds}); correct the path")


def _videos_with_stamps(
    source: str, set_aside: SetAside, language: str
) -> Iterator[tuple[pa.Table, dict[str, FileStamp]]]:
    """Rows of MANIFEST, and the stamps of their files at least."""
    match _kind_of(source):
        case "manifest":
            for videos in manifest_parts(source, set_aside):
                transcripts = videos["transcript_uri"].drop_null().to_pylist()
                yield videos, stat_files([*videos["uri"].to_pylist(), *transcripts])
        case "folder":
            for stamps in list_files(source, extensions=MEDIA, other_files=set_aside.other_files):
                videos = _with_sidecars(stamps, lambda _: True, language)
                set_aside.num_unused_transcripts += _num_unused(stamps, videos)
                yield videos, stamps
        case kind:
            folder, max_depth, is_match = _place_of(source if kind == "glob" else glob.escape(source))
            for stamps in list_files(folder, extensions=MEDIA, max_depth=max_depth):
                yield _with_sidecars(stamps, is_match, language), stamps


def _num_unused(stamps: Iterable[str], videos: pa.Table) -> int:
    """JSON is more often a downloader's than a transcript."""
    used = set(videos["transcript_uri"].drop_null().to_pylist())
    return sum(
        extension_of(uri) in TRANSCRIPT_EXTENSIONS and extension_of(uri) != "json" and uri not in used
        for uri in stamps
    )


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


def _place_of(pattern: str) -> tuple[str, int | None, Callable[[str], bool]]:
    """The folder that the pattern's first wildcard is in, how deep below it the files may lie, and whether a
    uri matches the pattern."""
    absolute = local_path(pattern) or pattern
    parts = absolute.split("/")
    num_fixed = next(i for i, part in enumerate([*parts[:-1], "*"]) if WILDCARD.search(part))
    try:
        regex = re.compile(glob_translate(absolute))
    except ValueError as error:
        raise UserError(f"{pattern}: not a glob ({error}); write ** between slashes") from error
    max_depth = None if "**" in parts else len(parts) - num_fixed
    return (
        "/".join(parts[:num_fixed]) or "/",
        max_depth,
        lambda uri: bool(regex.match(local_path(uri) or uri)),
    )


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
    return pa.table(columns, schema=CORPUS)
