"""The times of all frames of a video, for decoders that are asked for frames by number."""

from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.video.opening import (
    frame_ticks,
    open_video,
    pixel_aspect,
    presentation_start,
    reason_of,
    select_video_stream,
    time_base,
)


def scan_frame_times(container: InputContainer, stream: VideoStream) -> list[int]:
    """The time of every frame in ticks, sorted, from the packets of the whole file: nothing is decoded."""
    ticks: list[int] = []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:  # the last is empty; an edit list may hide some
            stamp = packet.dts if packet.pts is None else packet.pts
            ticks.append(len(ticks) * frame_ticks(container, stream) if stamp is None else stamp)
    return sorted(ticks)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameTimes:
    """When each frame of a video is shown, for decoders that are asked for frames by number."""

    ticks: list[int]
    """Of frame 0, 1, 2... in the order of display."""
    time_base: Fraction
    origin_seconds: Fraction
    frame_ticks: int
    width: int
    """Of the pixels as stored, before rotation."""
    height: int
    pixel_aspect: Fraction
    stream_index: int
    num_video_streams: int


def read_frame_times(uri: str) -> FrameTimes:
    """Read the packets of the whole file. Raises VideoError("decode", reason)."""
    try:
        with open_video(uri) as container:
            stream = select_video_stream(container, stage="decode")
            return FrameTimes(
                ticks=scan_frame_times(container, stream),
                time_base=time_base(stream),
                origin_seconds=presentation_start(container),
                frame_ticks=frame_ticks(container, stream),
                width=stream.width,
                height=stream.height,
                pixel_aspect=pixel_aspect(stream),
                stream_index=stream.index,
                num_video_streams=len(container.streams.video),
            )
    except (FFmpegError, OSError) as error:
        raise VideoError("decode", reason_of(error)) from error
