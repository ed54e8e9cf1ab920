"""A document: all visual tokens and all sentences of one video, each in time order."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # no file is opened here
    from vbert.text.transcripts import Sentence


def build_document(
    video: Mapping[str, Any],
    segments: Sequence[Mapping[str, Any]],
    tokens: Sequence[np.ndarray],
    sentences: "Sequence[Sentence]",
    *,
    vocabulary: str,
) -> dict[str, Any]:
    """One row of schemas.DOCUMENTS.

    `video` is its row of the ledger, `segments` are its rows of the features table in any order (without the
    vectors), and `tokens` int32 [num_clips] for each of them. Sentences that begin after the video's end are
    kept: a transcript may be right where a header is not.
    """
    assert len(segments) == len(tokens), (len(segments), len(tokens))
    starts = np.array([start for segment in segments for start in segment["clip_start_seconds"]], np.float64)
    every_token = np.concatenate([np.zeros(0, np.int32), *tokens])
    assert len(starts) == len(every_token), "one token for each clip"
    order = np.argsort(starts, kind="stable")
    assert len(np.unique(starts)) == len(starts), f"a clip of {video['uri']} comes twice"
    spoken = sorted(sentences, key=lambda sentence: (sentence.start_seconds, sentence.end_seconds))
    return {
        "video_id": video["video_id"],
        "vocabulary": vocabulary,
        "uri": video["uri"],
        "fingerprint": video["fingerprint"],
        "transcript_fingerprint": video["transcript_fingerprint"],
        "duration_seconds": video["duration_seconds"],
        "clip_seconds": segments[0]["clip_seconds"],
        "visual_tokens": every_token[order].tolist(),
        "visual_token_start_seconds": starts[order].tolist(),
        "sentences": [sentence.text for sentence in spoken],
        "sentence_start_seconds": [sentence.start_seconds for sentence in spoken],
        "sentence_end_seconds": [sentence.end_seconds for sentence in spoken],
    }


def count_late_sentences(document: Mapping[str, Any]) -> int:
    """How many begin after the video's end: of another cut of it, or by a clock that begins at one hour."""
    end_seconds = document["duration_seconds"]
    if end_seconds is None:
        return 0
    return sum(start >= end_seconds for start in document["sentence_start_seconds"])


def tokens_of_sentences(document: Mapping[str, Any]) -> np.ndarray:
    """The visual tokens that each sentence takes, int64 [num_sentences, 2]: first, and one past the last.

    A sentence takes the tokens in its time span (VideoBERT, section 4.3): those of clips whose middle lies
    in it, and at least the clip on screen at the sentence's own middle. Where the video has no clip then
    (dropped, or past its end), the range is empty.
    """
    starts = np.asarray(document["visual_token_start_seconds"], np.float64)
    clip_seconds = document["clip_seconds"]
    begins = np.asarray(document["sentence_start_seconds"], np.float64)
    ends = np.asarray(document["sentence_end_seconds"], np.float64)
    middles = starts + clip_seconds / 2
    first = np.searchsorted(middles, begins, side="left")
    last = np.searchsorted(middles, ends, side="right")
    at = (begins + ends) / 2
    shown = np.searchsorted(starts, at, side="right") - 1
    is_on_screen = (shown >= 0) & (at < np.append(starts, -np.inf)[shown] + clip_seconds)
    is_short = (first >= last) & is_on_screen
    ranges = np.stack([np.where(is_short, shown, first), np.where(is_short, shown + 1, last)], axis=1)
    return ranges.astype(np.int64)
