"""Decode a segment with PyAV: seek, choose frames by their times, scale only those, in one filter graph."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Literal, cast

import numpy as np
from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

from vbert.errors import VideoError
from vbert.video.frame_grid import Clip, ClipBuilder, ClipSpec, Color, FrameGrid, TimedFrame, crop_box
from vbert.video.media import (
    FORMATS_TIMED_BY_DECODING,
    Segment,
    frame_ticks,
    open_video,
    pixel_aspect,
    presentation_start,
    reason_of,
    select_video_stream,
    stored_seconds,
    time_base,
)

FULL_RANGE = 2  # AVCOL_RANGE_JPEG

# AVColorSpace -> the matrix that we hand on. All else is handed on as BT.601: swscale takes what is not
# specified as that, and converts the rest.
MATRICES: dict[int, Literal["bt601", "bt709", "bt2020"]] = {1: "bt709", 9: "bt2020", 10: "bt2020"}

# How far before a segment to look for a keyframe. One may be shown after the time that was asked for (it is
# decoded before), or not decode. The last is 17 minutes; None after that reads the file from its start.
SECONDS_BACK = (0, *(2**n for n in range(11)), None)


def decode_with_pyav(uri: str, segment: Segment, spec: ClipSpec, *, skip_loop_filter: bool) -> Iterator[Clip]:
    """The clips of `segment` that the stream covers, in order, one in memory at a time (`ClipBuilder.clips`).

    Raises VideoError("decode", reason) if no clip can be had.
    """
    try:
        for seconds_back in SECONDS_BACK if segment.first_clip > 0 else (None,):
            with open_video(uri) as container:
                decoder = StreamDecoder(container, skip_loop_filter=skip_loop_filter)
                grid = FrameGrid(
                    spec,
                    time_base=time_base(decoder.stream),
                    origin_seconds=presentation_start(container),
                )
                frames = _frames_for(segment, grid, decoder, seconds_back)
                if frames is not None:
                    yield from _build_clips(frames, segment, spec, grid, decoder)
                    return
    except (FFmpegError, OSError) as error:
        raise VideoError("decode", reason_of(error)) from error


def _frames_for(
    segment: Segment, grid: FrameGrid, decoder: "StreamDecoder", seconds_back: int | None
) -> Iterator[TimedFrame[VideoFrame]] | None:
    """All frames, or those from a sound keyframe some seconds before the segment; None if there is none.

    What comes out before a keyframe cannot be trusted: the B-frames of an open GOP lack their references.
    """
    if seconds_back is None:
        return decoder.frames_from_start()
    first_slot = segment.first_clip * grid.frames_per_clip
    back_ticks = seconds_back // time_base(decoder.stream)
    frames = decoder.frames_after_seek(grid.slot_ticks(first_slot) - back_ticks)
    for timed in frames:
        if grid.first_slot(timed.ticks) > first_slot:
            return None
        if timed.frame and timed.frame.key_frame and not timed.frame.is_corrupt:
            decoder.forget_damage()
            return chain([TimedFrame(timed.ticks, timed.frame)], frames)
    return None


def _build_clips(
    frames: Iterator[TimedFrame[VideoFrame]],
    segment: Segment,
    spec: ClipSpec,
    grid: FrameGrid,
    decoder: "StreamDecoder",
) -> Iterator[Clip]:
    scaler = FrameScaler(decoder.stream, spec)
    builder = ClipBuilder(
        grid,
        segment,
        picture=scaler.scale,
        picture_shape=(spec.yuv_bytes,),
        color=scaler.color,
        one_frame_ticks=decoder.frame_ticks,
    )
    promised_seconds = stored_seconds(decoder.container, decoder.stream) or Fraction(0)
    num_clips = 0
    for clip in builder.clips(frames, promised_end_ticks=grid.ticks(promised_seconds)):
        yield clip
        num_clips += 1
    if num_clips == 0:
        raise VideoError("decode", decoder.last_error)


class StreamDecoder:
    """The frames of a container's video stream, in the order of display, with times and damage marked."""

    def __init__(self, container: InputContainer, *, skip_loop_filter: bool) -> None:
        self.container = container
        self.stream = select_video_stream(container, stage="decode")
        self.frame_ticks = frame_ticks(container, self.stream)
        self.last_error = "no frame decodes"
        self._is_timed_by_decoding = container.format.name in FORMATS_TIMED_BY_DECODING
        self._newest_pts = float("-inf")  # of the packets sent to the codec
        self._damaged_until: float | None = None  # only a keyframe shown after this ends the damage

        self._codec = self.stream.codec_context
        self._codec.thread_type = "NONE"  # one thread a worker; frame threads would blur `frame.dts`, too
        self._codec.thread_count = 1
        self._codec.flags |= Flags.output_corrupt  # flagged frames rather than silent gaps
        if skip_loop_filter:
            self._codec.options = {"skip_loop_filter": "all"}

    def frames_from_start(self) -> Iterator[TimedFrame[VideoFrame]]:
        """All frames of the stream, and its end."""
        return self._timed_frames(first_ticks=self.stream.start_time or 0)

    def frames_after_seek(self, ticks: int) -> Iterator[TimedFrame[VideoFrame]]:
        """The frames from the keyframe to which a seek to `ticks` leads; none where that is not possible."""
        try:
            self.container.seek(ticks, stream=self.stream)
        except FFmpegError:
            return
        yield from self._timed_frames(first_ticks=None)

    def forget_damage(self) -> None:
        """From a sound keyframe on, nothing depends on what came before."""
        self._damaged_until = None

    def _timed_frames(self, *, first_ticks: int | None) -> Iterator[TimedFrame[VideoFrame]]:
        """A first frame that has no time is at `first_ticks`; if that is None, nothing comes."""
        ticks, duration = first_ticks, 0
        for frame in self._decoded_frames():
            stamp = self._stamp(frame)
            if stamp is None:
                if ticks is None:
                    return
                stamp = ticks + duration
            ticks = stamp if duration == 0 or ticks is None else max(ticks, stamp)
            duration = frame.duration or self.frame_ticks
            was_damaged = self._damaged_until is not None
            is_corrupt = self._judge(frame)
            yield TimedFrame(ticks, frame, is_corrupt, follows_damage=was_damaged or is_corrupt)
        if ticks is not None and duration:
            yield self._end(ticks + duration)

    def _end(self, ticks: int) -> TimedFrame[VideoFrame]:
        """The end of the stream: of the last frame, or of the last packet if damage kept it from decoding."""
        if self._damaged_until is None:
            return TimedFrame(ticks, None)
        if self._newest_pts < float("inf"):
            ticks = max(ticks, int(self._newest_pts) + self.frame_ticks)
        return TimedFrame(ticks, None, follows_damage=True)

    def _stamp(self, frame: VideoFrame) -> int | None:
        if self._is_timed_by_decoding:
            return frame.dts
        return frame.dts if frame.pts is None else frame.pts

    def _decoded_frames(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            if packet is not None and packet.size:
                pts = packet.dts if packet.pts is None else packet.pts
                self._newest_pts = max(self._newest_pts, float("inf") if pts is None else pts)
                if packet.is_corrupt:  # the container found bytes missing; the codec may not notice
                    self._damaged_until = self._newest_pts
            try:
                frames = self._codec.decode(packet)
            except FFmpegError as error:
                if isinstance(error, MemoryError):  # nothing is wrong with the packet
                    raise
                self.last_error = reason_of(error)
                self._damaged_until = self._newest_pts
                continue
            yield from frames

    def _packets(self) -> Iterator["Packet[VideoStream] | None"]:
        """All packets, then an empty one, or None, that flushes. A container that breaks off ends there."""
        try:
            yield from self.container.demux(self.stream)
        except FFmpegError as error:
            self.last_error = reason_of(error)
            yield None

    def _judge(self, frame: VideoFrame) -> bool:
        """Whether `frame` is corrupt, given all that came before it."""
        if frame.is_corrupt:
            # Found out now, but the cause may be any packet sent so far.
            self._damaged_until = self._newest_pts
        elif self._damaged_until is not None and frame.key_frame:
            pts = frame.dts if frame.pts is None else frame.pts
            if pts is not None and pts > self._damaged_until:
                self._damaged_until = None
        return self._damaged_until is not None


class FrameScaler:
    """Crop, scale, yuv420p, rotate, in one filter graph; it is made anew when the frames' format changes."""

    def __init__(self, stream: VideoStream, spec: ClipSpec) -> None:
        self.color = _color_of(stream)
        self._spec = spec
        self._time_base = time_base(stream)
        self._pixel_aspect = pixel_aspect(stream)
        self._key: tuple[object, ...] = ()
        self._graph = Graph()

    def scale(self, frame: VideoFrame) -> np.ndarray:
        """The frame's planes as uint8 [ClipSpec.yuv_bytes]."""
        key = (
            frame.format.name,
            frame.width,
            frame.height,
            frame.colorspace,
            frame.color_range,
            frame.rotation,
        )
        if key != self._key:
            self._graph = self._make_graph(frame)
            self._key = key
        self._graph.vpush(frame)
        scaled = self._graph.vpull()
        return np.concatenate([_plane_bytes(plane) for plane in scaled.planes])

    def _make_graph(self, frame: VideoFrame) -> Graph:
        x, y, width, height = crop_box(
            frame.width, frame.height, crop_share=self._spec.crop_share, pixel_aspect=self._pixel_aspect
        )
        size, matrix = self._spec.size, self.color.matrix
        output_range = "pc" if self.color.full_range else "tv"
        graph = Graph()
        graph.threads = 1
        nodes = [
            # With its colour, or the graph takes it for limited BT.601 until a frame tells otherwise.
            graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base=str(self._time_base),
                colorspace=str(int(frame.colorspace)),
                range=str(int(frame.color_range)),
            ),
            graph.add("crop", f"{width}:{height}:{x}:{y}"),
            graph.add(
                "scale",
                f"{size}:{size}:flags={self._spec.interpolation}"
                f":out_color_matrix={matrix}:out_range={output_range}",
            ),
            graph.add("format", "yuv420p"),
            *(graph.add(*turn) for turn in _turns(frame)),  # now the picture is small, and square
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph


def _color_of(stream: VideoStream) -> Color:
    """What the filter graph hands out: the stream's own colour, but RGB and gray are converted."""
    if stream.pix_fmt is None:  # FFmpeg could not decode enough to know
        return Color(matrix="bt601", full_range=False)
    pixel_format = stream.format
    if pixel_format.is_rgb or len(pixel_format.components) < 3:
        return Color(matrix="bt601", full_range=False)
    full_range = stream.color_range == FULL_RANGE or pixel_format.name.startswith("yuvj")
    return Color(matrix=MATRICES.get(stream.colorspace, "bt601"), full_range=full_range)


def _turns(frame: VideoFrame) -> list[tuple[str, ...]]:
    """The filters that turn and mirror a picture as its display matrix asks, to the nearest quarter turn.

    The matrix moves (x, y) to (a*x + c*y, b*x + d*y), y downwards (libavutil/display.h).
    """
    matrix = cast("SideDataContainer", frame.side_data).get("DISPLAYMATRIX")
    if matrix is None:
        return []
    a, b, _, c, d = np.frombuffer(memoryview(matrix), np.int32)[:5].tolist()  # abs(-2**31) fits no int32
    if abs(b) > abs(a):
        directions = {(True, True): "cclock_flip", (False, True): "clock"}
        directions |= {(True, False): "cclock", (False, False): "clock_flip"}
        return [("transpose", directions[bool(c > 0), bool(b > 0)])]
    return [(name,) for name, is_mirrored in (("hflip", a < 0), ("vflip", d < 0)) if is_mirrored]


def _plane_bytes(plane: VideoPlane) -> np.ndarray:
    """The plane without the padding of its lines, uint8 [height * width]."""
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width].ravel()
