"""The best clips of a whole corpus for a text or an example; Ray is asked only for what no index has yet."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pyarrow.compute as pc
from tyro.conf import OmitArgPrefixes, Positional

from vbert.corpus.names import names_of
from vbert.distributed.examples import Videos
from vbert.distributed.search_index import EmbedClips, EmbedWindows, aligned_windows, shards_of
from vbert.errors import UserError, VideoError, require_at_least
from vbert.model.checkpoint_files import TENSORS, check_model, visual_vocabulary_of
from vbert.report.results import Result, render_results
from vbert.search.hits import Hit
from vbert.search.index import FOLDER, nearest
from vbert.search.intervals import clips_of
from vbert.storage.files import absolute_uri, check_output, filesystem_of, with_absolute_paths, write_file
from vbert.tables.delta import Table
from vbert.tables.reading import choose_featurizer
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS, short_hash
from vbert.tasks.joint_space import (
    check_retrieval,
    embedded_text,
    is_pretrained_for_it,
    open_joint_space,
)
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import worker_process
from vbert.video.thumbnails import data_url

WIDTH = 240  # pixels of a frame


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Find clips in a whole corpus: by a text and a model, or by an example and no model."""

    text: Annotated[str | None, Positional] = None
    """What is looked for, in words; needs --model."""
    tables: str
    """Folder or bucket URL of the tables."""
    model: str | None = None
    """Folder of a model fine-tuned for retrieval or pretrained with --model.contrastive-weight, whose vectors
    are kept in an index, or of another pretrained one, whose alignment looks at each window anew."""
    like: str | None = None
    """VIDEO@SECONDS: clips that look as that one does; the video by its id, uri or file name."""
    featurizer: str | None = None
    """Whose features --like compares; may be left out where there is only one."""
    num_results: int = 10
    """How many to print."""
    num_per_video: int = 1
    """How many of them may be of one video."""
    window_seconds: float = 10.0
    """Length of the windows that a text is compared with."""
    html: str | None = None
    """Page of the results with their frames; it needs nothing else."""
    limits: OmitArgPrefixes[DecodeLimits] = field(default_factory=DecodeLimits)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_results", "num_per_video")
        if not self.window_seconds > 0:
            raise UserError(f"--window-seconds {self.window_seconds} must be above 0")
        if (self.text is None) == (self.like is None):
            raise UserError('give one of a text ("cut an onion") and --like VIDEO@SECONDS')
        if (self.text is None) != (self.model is None):
            raise UserError("a text needs --model, and --like takes none")


@dataclass(frozen=True, kw_only=True)
class SearchSummary:
    """What was found, the best first."""

    how: str
    results: list[Result]
    asked_seconds: float
    """Of these, without the index that had to be made and the page."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """Hits, by what they were found, and where their videos' uris are."""

    hits: list[Hit]
    how: str
    seconds: float
    table: Table
    partition: str


def search(config: SearchConfig) -> SearchSummary:
    """Bring the index up to date, ask it, and write the page."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model")
    if config.html:
        check_output(config.html, kind="file")
    found = _by_text(config) if config.like is None else _by_example(config, config.like)
    rows = found.table.read(
        columns=["video_id", "uri"],
        partition=found.partition,
        video_ids={hit.video_id for hit in found.hits},
    )
    uris = dict(zip(*rows.to_pydict().values(), strict=True))
    results = [Result(hit=hit, uri=uris[hit.video_id]) for hit in found.hits]
    if config.html:
        page = render_results(
            config.text or f"like {config.like}", found.how, results, _frames(results, config.limits)
        )
        write_file(config.html, page.encode())
    return SearchSummary(
        how=found.how,
        results=results,
        asked_seconds=found.seconds,
        seconds=time.monotonic() - start_seconds,
    )


def _by_text(config: SearchConfig) -> Found:
    """By the vectors of a model that has some, or by the alignment of a pretrained one."""
    assert config.model is not None, "checked by SearchConfig"
    assert config.text is not None, "checked by SearchConfig"
    is_tuned = "task" in check_model(config.model)
    has_vectors = is_tuned or is_pretrained_for_it(config.model)
    vocabulary = (check_retrieval if has_vectors else visual_vocabulary_of)(config.model)
    Videos.latest(config.tables, vocabulary=vocabulary)  # or a UserError
    documents = Table(config.tables, DOCUMENTS)
    start_seconds = time.monotonic()
    if has_vectors:
        how = "cosine of a retrieval model" if is_tuned else "cosine of a pretrained model's vectors"
        uris = shards_of(
            documents,
            partition=vocabulary,
            folder=f"{config.tables}/{FOLDER}/{vocabulary}/{_index_name(config)}",
            embedder=EmbedWindows,
            arguments={"model": config.model, "window_seconds": config.window_seconds},
        )
        asked = embedded_text(open_joint_space(config.model), config.text)
        start_seconds = time.monotonic()
        hits = nearest(uris, asked, num_results=config.num_results, num_per_video=config.num_per_video)
    else:
        how = "alignment of a pretrained model (log-odds)"
        hits = aligned_windows(
            documents,
            partition=vocabulary,
            model=config.model,
            text=config.text,
            window_seconds=config.window_seconds,
            best={"num_results": config.num_results, "num_per_video": config.num_per_video},
        )
    return Found(
        hits=hits,
        how=how,
        seconds=time.monotonic() - start_seconds,
        table=documents,
        partition=vocabulary,
    )


def _index_name(config: SearchConfig) -> str:
    """Of the model as it lies there now, and what it has looked at."""
    filesystem, path = filesystem_of(f"{config.model}/{TENSORS}")
    return short_hash(filesystem.ukey(path), str(config.window_seconds))


def _by_example(config: SearchConfig, like: str) -> Found:
    """By the cosine of clips' features; the example's own video is left out."""
    features, videos = Table(config.tables, FEATURES), Table(config.tables, VIDEOS)
    featurizer = choose_featurizer(config.featurizer, features)
    video_id, asked = _clip_at(like, features, videos, featurizer)
    uris = shards_of(
        features,
        partition=featurizer,
        folder=f"{config.tables}/{FOLDER}/{featurizer}/clips",
        embedder=EmbedClips,
        arguments={},
    )
    start_seconds = time.monotonic()
    hits = nearest(
        uris,
        asked,
        num_results=config.num_results,
        num_per_video=config.num_per_video,
        leave_out=video_id,
    )
    return Found(
        hits=hits,
        how=f"cosine of features ({featurizer})",
        seconds=time.monotonic() - start_seconds,
        table=videos,
        partition=featurizer,
    )


def _clip_at(like: str, features: Table, videos: Table, featurizer: str) -> tuple[str, np.ndarray]:
    """The video that VIDEO@SECONDS names, and the features float32 [dim] of its clip at that time."""
    name, _, time_text = like.rpartition("@")
    try:
        seconds = float(time_text)
    except ValueError:
        seconds = -1.0
    if not name or not seconds >= 0:
        raise UserError(f"--like {like}: give VIDEO@SECONDS, such as talk.mp4@12.5")
    known = videos.read(columns=["video_id", "uri"], partition=featurizer)
    ids = names_of(known).ids | dict(
        zip(known["uri"].to_pylist(), known["video_id"].to_pylist(), strict=True)
    )
    video_id = ids.get(name) or ids.get(absolute_uri(name))
    if video_id is None:
        raise UserError(
            f"--like {like}: {features.root} has no video {name} of {featurizer}, or several; give its "
            "video_id or uri as the table `videos` has it"
        )
    rows = features.read(
        columns=["video_id", "clip_seconds", "clip_start_seconds", "features"],
        partition=featurizer,
        video_ids=[video_id],
    )
    intervals, vectors = clips_of(rows)
    is_here = pc.and_(
        pc.less_equal(intervals["start_seconds"], seconds), pc.greater(intervals["end_seconds"], seconds)
    )
    (places,) = np.nonzero(is_here.to_numpy())
    if not len(places):
        last = pc.max(intervals["end_seconds"]).as_py() or 0.0
        raise UserError(f"--like {like}: no clip at that time; the last of {name} ends at {last} seconds")
    return video_id, vectors[places[0]]


def _frames(results: Sequence[Result], limits: DecodeLimits) -> list[str | None]:
    """The frame in the middle of each interval as a data: URL; None where the video is gone or broken."""
    process = worker_process(limits)
    found: list[str | None] = []
    for result in results:
        middle = (result.hit.start_seconds + result.hit.end_seconds) / 2
        try:
            (jpeg,) = process.thumbnails(result.uri, [middle], width=WIDTH)
        except VideoError:
            jpeg = None
        found.append(data_url(jpeg) if jpeg else None)
    process.close()
    return found
