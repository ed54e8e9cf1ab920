"""Videos and how important people find their parts: TVSum (Song et al. 2015) and SumMe (Gygli et al. 2014).

Neither has official splits: videos are dealt out by a hash. The authors give scores for each frame; here they
are for each SHOT_SECONDS, the length of TVSum's shots.
"""

import struct
import zlib
from collections import defaultdict
from typing import Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from vbert.errors import UserError
from vbert.storage.files import open_file, stem_of
from vbert.tasks.annotations import split_of
from vbert.tasks.datasets.authors_files import (
    Rows,
    clock_seconds,
    exists,
    folder_of,
    listed,
    matched_lines,
    read_lines,
)

SHOT_SECONDS = 2.0
# What scipy makes of files that are none, or cut off.
MAT_ERRORS = (
    *(OSError, ValueError, TypeError, LookupError, NotImplementedError, MemoryError),
    *(MatReadError, struct.error, zlib.error),
)


def tvsum(source: str) -> Rows:
    """A folder with ydata-tvsum50-anno.tsv and ydata-tvsum50-info.tsv: for every 2 s the mean of 20 people's
    scores from 1 to 5.

    Frames become seconds by the lengths in the second file, which are whole seconds: at a video's end a time
    may be half a second off.
    """
    if source.endswith(".mat"):
        raise UserError(f"{source}: is HDF5, which is not read; give the folder of ydata-tvsum50-anno.tsv")
    folder = folder_of(source)
    seconds = _tvsum_seconds(f"{folder}/ydata-tvsum50-info.tsv")
    uri = f"{folder}/ydata-tvsum50-anno.tsv"
    scores: dict[str, list[np.ndarray]] = defaultdict(list)
    for where, match in matched_lines(uri, r"([^\t]+)\t[^\t]*\t([\d.,]+)", kind="video, category and scores"):
        mine = scores[match[1]]
        mine.append(np.array(match[2].split(","), np.float32))  # 8 million numbers in all
        if len(mine[-1]) != len(mine[0]):
            raise UserError(f"{where}: has {len(mine[-1])} scores, and the video's first line {len(mine[0])}")
    for video_id, people in scores.items():
        if not seconds.get(video_id):
            raise UserError(f"{uri}: ydata-tvsum50-info.tsv has no length of the video {video_id}")
        yield from _shots(video_id, np.stack(people).mean(axis=0, dtype=np.float64), seconds[video_id])


def _tvsum_seconds(uri: str) -> dict[str, float]:
    """How long each video is. The columns are category, video_id, title, url and length, as 5:54."""
    if not exists(uri):
        raise UserError(f"{uri}: is not there, and tells how long TVSum's videos are")
    lines = [(where, line.split("\t")) for where, line in read_lines(uri)]
    names = lines[0][1] if lines else []
    if not {"video_id", "length"} <= set(names):
        raise UserError(f"{uri}: has no columns `video_id` and `length`; is this TVSum's?")
    video, length = names.index("video_id"), names.index("length")
    return {fields[video]: clock_seconds(fields[length], where) for where, fields in lines[1:]}


def summe(source: str) -> Rows:
    """The folder GT with a .mat of each video, or one of them: for every 2 s the share of people who took it
    into their summaries (`gt_score`, the mean over its frames)."""
    files = [source] if source.endswith(".mat") else listed(folder_of(source))
    files = [uri for uri in files if uri.endswith(".mat")]
    if not files:
        raise UserError(f"{source}: has no .mat files of SumMe; give its folder GT")
    for uri in files:
        content = _read_mat(uri)
        for name in ("gt_score", "FPS"):
            if name not in content:
                raise UserError(f"{uri}: has no `{name}`; is this a file of SumMe's folder GT?")
        scores, fps = content["gt_score"].ravel().astype(float), float(content["FPS"].item())
        if not (len(scores) and np.isfinite(scores).all() and 0 < fps < np.inf):
            raise UserError(
                f"{uri}: its {len(scores)} scores or {fps} frames a second are not as they should be"
            )
        yield from _shots(stem_of(uri), scores, len(scores) / fps)


def _read_mat(uri: str) -> dict[str, Any]:
    """The variables of a MATLAB file, before its version 7.3."""
    try:
        with open_file(uri) as file:
            content: dict[str, Any] = scipy.io.loadmat(file)
    except MAT_ERRORS as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{uri}: cannot be read as a MATLAB file ({reason})") from error
    return content


def _shots(video_id: str, scores: np.ndarray, seconds: float) -> Rows:
    """The mean of a video's scores float [num_frames] in each SHOT_SECONDS; the last ends with the video."""
    starts = np.arange(len(scores)) * seconds / len(scores)
    shots = (starts / SHOT_SECONDS).astype(np.int64)
    for shot in np.unique(shots).tolist():
        yield {
            "video_id": video_id,
            "split": split_of(video_id),
            "start_seconds": shot * SHOT_SECONDS,
            "end_seconds": min((shot + 1) * SHOT_SECONDS, seconds),
            "importance": float(scores[shots == shot].mean()),
        }
