"""Where the clips of a segment come from: from its own decoding, or from one pass over the whole video."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vbert.errors import VideoError
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.features.planning import unfolded, wants_one_pass
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import Clip
from vbert.video.isolation import DecoderProcess
from vbert.video.media import Segment, VideoProbe, plan_segments

Source = Callable[[], Iterator[Clip]]


def sources(
    folded: dict[str, Any], config: FeaturizerConfig, process: DecoderProcess | None
) -> list[tuple[dict[str, Any], Source | None]]:
    """The rows that a row of SEGMENTS stands for, with what gives the clips of each; None: it is done."""
    rows = unfolded(folded)
    if folded["state"] != "pending":
        return [(row, None) for row in rows]
    segments = [_segment(row) for row in rows]
    is_one_pass = folded["decoded_with"] is not None
    found = _sources(folded["uri"], segments, config, process, is_one_pass=is_one_pass)
    return list(zip(rows, found, strict=True))


def sources_of_video(
    uri: str, probe: VideoProbe, config: FeaturizerConfig, process: DecoderProcess | None
) -> list[Source]:
    """What gives the clips of each segment of a video, as the rows of its plan would."""
    seconds = config.segment_seconds
    segments = plan_segments(
        probe.duration_seconds, clip_seconds=config.clip_seconds, segment_seconds=seconds
    )
    is_one_pass = wants_one_pass(probe, segment_seconds=seconds)
    return _sources(uri, segments, config, process, is_one_pass=is_one_pass)


def _sources(
    uri: str,
    segments: Sequence[Segment],
    config: FeaturizerConfig,
    process: DecoderProcess | None,
    *,
    is_one_pass: bool,
) -> list[Source]:
    if is_one_pass:
        one_pass = OnePass(uri, segments, config, process)
        return [partial(one_pass.clips, segment) for segment in segments]
    return [partial(clips_of_segment, uri, segment, config, process) for segment in segments]


def _segment(row: dict[str, Any]) -> Segment:
    return Segment(
        index=row["segment_index"], first_clip=row["first_clip"], num_clips=row["num_planned_clips"]
    )


def clips_of_segment(
    uri: str, segment: Segment, config: FeaturizerConfig, process: DecoderProcess | None
) -> Iterator[Clip]:
    """Decoded as the featurizer wants them, by `process` or, if that is None, by this one."""
    decode = process.decode_clips if process else decode_clips
    return decode(
        uri,
        segment,
        clip_spec(config),
        decoder=config.decoder,
        skip_loop_filter=config.skip_loop_filter,
    )


class OnePass:
    """The clips of several segments of one video, from one decoding of it, handed out segment by segment."""

    def __init__(
        self, uri: str, segments: Sequence[Segment], config: FeaturizerConfig, process: DecoderProcess | None
    ) -> None:
        first, last = segments[0], segments[-1]
        num_clips = last.first_clip + last.num_clips - first.first_clip
        whole = replace(first, num_clips=num_clips, is_pass=True)
        self._source: Source = partial(clips_of_segment, uri, whole, config, process)
        self._decoded: Iterator[Clip] | None = None
        self._held: Clip | None = None
        self._error: VideoError | None = None

    def clips(self, segment: Segment) -> Iterator[Clip]:
        """Of one of the segments; these are asked for in order. What ends the pass fails all that follow."""
        stop = segment.first_clip + segment.num_clips
        num_clips = 0
        while (clip := self._peek()) is not None and clip.index < stop:
            self._held = None
            if clip.index >= segment.first_clip:
                yield clip
                num_clips += 1
        if self._error:
            raise self._error
        if not num_clips:
            raise VideoError("decode", f"the stream ends before clip {segment.first_clip} does")

    def _peek(self) -> Clip | None:
        if self._held is None and self._error is None:
            try:
                self._decoded = self._decoded or self._source()
                self._held = next(self._decoded, None)
            except VideoError as error:
                self._error = error
        return self._held
