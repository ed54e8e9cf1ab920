"""One video's features in this process, without tables: of a file, or of frames that are in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vbert.errors import VideoError
from vbert.features.clip_sources import sources_of_video
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.segment_rows import usable_clips
from vbert.features.torch_featurizer import open_featurizer
from vbert.video.decode_child import DecodeLimits
from vbert.video.frame_grid import Clip, ClipBuilder, Color, FrameGrid, timed_indices
from vbert.video.isolation import worker_process
from vbert.video.media import VideoProbe, exact, plan_segments
from vbert.video.rgb_scaler import crop_and_scale


@dataclass(frozen=True, kw_only=True)
class VideoFeatures:
    """A video's usable clips: float32 [num_clips, D], and when each begins, float64 seconds [num_clips]."""

    features: np.ndarray
    start_seconds: np.ndarray
    duration_seconds: float


class VideoFeaturizer:
    """A backbone and a child process that opens videos, ready for one after the other."""

    def __init__(self, config: FeaturizerConfig, *, device: str, limits: DecodeLimits | None = None) -> None:
        self.config = config
        self.featurizer = open_featurizer(config, device=device)
        self.process = worker_process(limits or DecodeLimits())

    def of_file(self, uri: str) -> VideoFeatures:
        """Decode and featurize a local file or URL as featurize does: a segment that fails is left out.
        VideoError where nothing can be used."""
        (probe,) = self.process.probe([uri])
        if isinstance(probe, VideoError):
            raise probe
        return self._features(self._decoded(uri, probe), probe.duration_seconds)

    def _decoded(self, uri: str, probe: VideoProbe) -> Iterator[list[Clip]]:
        first_error, num_clips = None, 0
        for source in sources_of_video(uri, probe, self.config, self.process):
            try:
                clips, _ = usable_clips(source(), self.config)
            except VideoError as error:
                first_error = first_error or error
                continue
            num_clips += len(clips)
            yield clips
        if first_error and not num_clips:
            raise first_error

    def of_frames(self, frames: np.ndarray, *, fps: float) -> VideoFeatures:
        """The same of uint8 [num_frames, height, width, 3], RGB. VideoError for less than one frame."""
        if not len(frames):
            raise VideoError("decode", "no frame")
        seconds = Fraction(len(frames)) / exact(fps)
        return self._features([list(self._clips_of_frames(frames, 1 / exact(fps)))], float(seconds))

    def _clips_of_frames(self, frames: np.ndarray, frame_seconds: Fraction) -> Iterator[Clip]:
        spec = self.featurizer.spec
        grid = FrameGrid(spec, time_base=frame_seconds, origin_seconds=Fraction(0))
        seconds = float(len(frames) * frame_seconds)
        (whole,) = plan_segments(seconds, clip_seconds=spec.clip_seconds, segment_seconds=seconds)
        builder: ClipBuilder[int] = ClipBuilder(
            grid,
            whole,
            picture=lambda index: crop_and_scale(frames[index], spec),
            picture_shape=(spec.size, spec.size, 3),
            color=Color(matrix="rgb", full_range=True),
            one_frame_ticks=1,
        )
        timed = timed_indices(range(len(frames)), grid, whole, one_frame_ticks=1)
        return builder.clips(timed, promised_end_ticks=0)

    def _features(self, decoded: Iterable[list[Clip]], seconds: float) -> VideoFeatures:
        parts, starts = [], []
        for clips in decoded:
            if clips:
                parts.append(self.featurizer.extract(clips))
                starts += [clip.index * self.config.clip_seconds for clip in clips]
        if not parts:
            raise VideoError("decode", "no usable clip")
        return VideoFeatures(
            features=np.concatenate(parts), start_seconds=np.array(starts), duration_seconds=seconds
        )
