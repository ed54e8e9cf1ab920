"""One file with the captions of a whole data set: HowTo100M, YouCook2, ActivityNet Captions."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from vbert.corpus.names import names_of
from vbert.errors import UserError
from vbert.storage.files import open_file, stem_of
from vbert.text.sentences import Word
from vbert.text.transcripts import Sentence, to_sentences
from vbert.text.words import spread

MAX_BYTES = 4 << 30  # HowTo100M's, of 1.2 M videos, are 2 GB

Captions = dict[str, list[Sentence]]

ACCEPTED = (
    "HowTo100M's {video: {start, end, text}}, YouCook2's {database: {video: {annotations}}} "
    "or ActivityNet Captions' {video: {timestamps, sentences}}"
)


def read_caption_file(uri: str) -> Captions:
    """The sentences of every video of a local file or fsspec URL, by the video's name there.

    HowTo100M's captions are pieces of automatic speech recognition without punctuation: they are cut into
    sentences anew. Annotations of the other two are sentences as they are. Times that are no span are put in
    order. The file is held in memory whole (HowTo100M's caption.json: several times its size). UserError for
    a file that is not there, is not JSON, or has another shape.
    """
    try:
        with open_file(uri) as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UserError(
                f"{uri}: larger than {MAX_BYTES >> 30} GiB, which no data set's captions are; split it"
            )
        content = json.loads(text)
    except OSError as error:
        raise UserError(f"{uri}: cannot be read ({error.strerror or error}); correct --captions") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{uri}: not JSON ({error}); accepted are {ACCEPTED}") from error
    read, videos = _reader(uri, content)
    try:
        return {name: read(video) for name, video in videos.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{type(error).__name__} {error}"
        raise UserError(f"{uri}: a video's entry is broken ({message}); accepted are {ACCEPTED}") from error


def captions_of(videos: pa.Table, uri: str) -> tuple[Captions, int]:
    """The captions that a file has of some videos (columns video_id and uri), by id, and how many of its
    names mean several of them (`names_of`).

    A video of which it says nothing is none of them. UserError as `read_caption_file`, and for a file that
    has none of the videos.
    """
    every, names = read_caption_file(uri), names_of(videos)
    if not names.ids.keys() & every.keys():
        raise UserError(
            f"{uri}: none of its {len(every):,} videos (such as {next(iter(every))}) is among those with "
            "features; are its names their ids, or names of their files?"
        )
    mine = {names.ids[name]: found for name, found in every.items() if found and name in names.ids}
    for row in videos.to_pylist():  # the file may have it by several names: the id, then the file's own
        for name in (stem_of(row["uri"]), row["video_id"]):
            if every.get(name) and names.ids.get(name) == row["video_id"]:
                mine[row["video_id"]] = every[name]
    return mine, len(names.ambiguous & every.keys())


def _reader(uri: str, content: Any) -> tuple[Callable[[Any], list[Sentence]], Mapping[str, Any]]:
    if isinstance(content, dict):
        if isinstance(content.get("database"), dict):
            return _from_youcook2, content["database"]
        first = next(iter(content.values()), None)
        if isinstance(first, dict) and {"start", "end", "text"} <= first.keys():
            return _from_howto100m, content
        if isinstance(first, dict) and {"timestamps", "sentences"} <= first.keys():
            return _from_activitynet, content
        found = f"an object with {', '.join(map(repr, list(content)[:3]))}" if content else "an empty object"
    else:
        found = f"a {type(content).__name__}"
    raise UserError(f"{uri}: {found} is no captions' file; accepted are {ACCEPTED}")


def _from_howto100m(video: Mapping[str, Any]) -> list[Sentence]:
    pieces = [
        (float(start), float(end), text)
        for start, end, text in zip(video["start"], video["end"], video["text"], strict=True)
        if isinstance(text, str)  # a number, NaN, stands for no text where pandas wrote the file
    ]
    pieces.sort(key=lambda piece: piece[0])
    # A piece leaves the screen when the next but one begins, but it has been said when the next begins.
    starts = [start for start, _, _ in pieces]
    words: list[Word] = []
    for (start, end, text), following in zip(pieces, [*starts, float("inf")][1:], strict=True):
        words += spread(text.split(), start, min(end, following))
    return to_sentences(words)


def _from_youcook2(video: Mapping[str, Any]) -> list[Sentence]:
    return _annotated((entry["segment"], entry["sentence"]) for entry in video["annotations"])


def _from_activitynet(video: Mapping[str, Any]) -> list[Sentence]:
    return _annotated(zip(video["timestamps"], video["sentences"], strict=True))


def _annotated(entries: Iterable[tuple[Iterable[float], str]]) -> list[Sentence]:
    sentences = []
    for span, text in entries:
        start, end = sorted(max(0.0, float(seconds)) for seconds in span)
        sentences.append(Sentence(text=" ".join(text.split()), start_seconds=start, end_seconds=end))
    return sorted(sentences, key=lambda sentence: (sentence.start_seconds, sentence.end_seconds))
