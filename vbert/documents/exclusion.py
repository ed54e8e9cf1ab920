"""What a build leaves out of documents: clips that show nothing or two shots, videos that are of no use.

Thresholds are of schemas.SIGNALS; a clip that has none of them stays.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

Exclusion = Literal["black", "stills", "cuts", "other-languages", "duplicates"]

# The signal, and when a clip is left out. A clip that is several of these counts as the first.
OF_CLIPS: Mapping[str, tuple[str, np.ufunc, float]] = {
    "black": ("brightness", np.less, 10.0),
    # Slides, frozen pictures: encoded at CRF 18 to 38 these have 0 to 0.3, people who sign 3 to 13.
    "stills": ("motion", np.less, 0.5),
    # Half a second apart; between neighbouring frames PySceneDetect has 27.
    "cuts": ("cut", np.greater_equal, 40.0),
}
COUNTS = tuple(f"num_{name}" for name in OF_CLIPS)  # columns of DOCUMENTS
KEPT = 0  # of `clip_exclusions`
NOTHING: Mapping[str, list[Any]] = {
    name: []
    for name in (
        *("visual_tokens", "visual_token_start_seconds"),
        *("sentences", "sentence_start_seconds", "sentence_end_seconds"),
    )
}


def clip_exclusions(segment: Mapping[str, Any], exclude: Collection[str]) -> np.ndarray:
    """For each clip of a row of FEATURES what it is left out as, int8 [num_clips]: KEPT, or 1 + the place in
    OF_CLIPS."""
    found = np.full(len(segment["clip_start_seconds"]), KEPT, np.int8)
    for number, (name, (signal, is_beyond, threshold)) in reversed([*enumerate(OF_CLIPS.items(), start=1)]):
        if name in exclude and segment[signal] is not None:
            values = np.array(segment[signal], np.float32)  # null is NaN, which is neither below nor above
            found[is_beyond(values, threshold)] = number
    return found


def without_excluded(segments: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Segments with lists `tokens`, `clip_start_seconds` and `excluded` (as by `clip_exclusions`) -> the same
    with the clips that are kept, tokens as int32 [num_kept]; and for COUNTS how many were left out."""
    kept, every = [], np.zeros(0, np.int8)
    for segment in segments:
        excluded = np.asarray(segment["excluded"], np.int8)
        every = np.append(every, excluded)
        starts = np.asarray(segment["clip_start_seconds"], np.float64)[excluded == KEPT].tolist()
        tokens = np.asarray(segment["tokens"], np.int32)[excluded == KEPT]
        kept.append({**segment, "clip_start_seconds": starts, "tokens": tokens})
    counts = np.bincount(every, minlength=len(OF_CLIPS) + 1).tolist()
    return kept, dict(zip(COUNTS, counts[1:], strict=True))


def with_exclusion(
    document: Mapping[str, Any], *, is_copy: bool, exclude: Collection[str], language: str
) -> dict[str, Any]:
    """The document with `excluded_for`; emptied if its video is left out: a copy, or in another language than
    the one that is wanted. A video whose language is not known stays."""
    reason = None
    if is_copy:
        reason = "duplicates"
    elif "other-languages" in exclude and document["language"] not in (None, language):
        reason = "other-languages"
    return {**document, "excluded_for": reason, **(NOTHING if reason else {})}
