"""The times of all frames of a video, for decoders that are asked for frames by number."""

from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.video.opening import (
    frame_ticks,
    has_palette,
    open_video,
    pixel_aspect,
    presentation_start,
    read_packets,
    reason_of,
    select_video_stream,
    shown_area,
    time_base,
)

# Formats in which a frame's number leads decord and torchcodec to that frame: in MPEG transport and program
# streams, AVI with B-frames and others they silently give its neighbours after a seek.
NUMBERED_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}

IDR_SLICE = 5  # the type of a NAL unit (Rec. ITU-T H.264, table 7-1)


def _scan_frame_times(container: InputContainer, stream: VideoStream) -> list[int]:
    """The time of every frame in ticks, sorted, from the packets of the whole file: nothing is decoded.

    Raises VideoError for a stream in which frames have no reliable numbers.
    """
    ticks: list[int] = []
    newest = float("-inf")
    for packet in read_packets(container, stream):
        if packet.size and not packet.is_discard:  # the last is empty; an edit list may hide some
            if packet.dts is not None:
                if packet.dts < newest:
                    raise _refusal("whose clock starts again")
                newest = packet.dts
            if packet.is_keyframe and stream.codec_context.name == "h264" and not _has_idr(packet):
                raise _refusal("whose keyframes need frames before them (open GOPs, intra-refresh)")
            stamp = packet.dts if packet.pts is None else packet.pts
            ticks.append(len(ticks) * frame_ticks(container, stream) if stamp is None else stamp)
    return sorted(ticks)


def _has_idr(packet: "Packet[VideoStream]") -> bool:
    """Whether an H.264 packet, its NAL units behind their lengths of 4 bytes, begins a closed GOP."""
    data, at = bytes(packet), 0
    while at + 4 < len(data):
        if data[at + 4] & 0x1F == IDR_SLICE:
            return True
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return False


def _refusal(what: str) -> VideoError:
    return VideoError(
        "decode", f"decord and torchcodec give wrong frames of a video {what}; use decoder pyav"
    )


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
    """Read the packets of the whole file.

    Raises VideoError("decode", reason), also for a video that decoders by number are known to get wrong.
    """
    try:
        with open_video(uri) as container:
            stream = select_video_stream(container, stage="decode")
            if container.format.name not in NUMBERED_FORMATS:
                raise _refusal(f"in the format {container.format.name}")
            if shown_area(container, stream) != (0, 0, stream.width, stream.height):
                raise _refusal("of which only a part is to be shown (clean aperture)")
            if has_palette(stream):
                raise _refusal("whose pixels are numbers of colours")
            return FrameTimes(
                ticks=_scan_frame_times(container, stream),
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
