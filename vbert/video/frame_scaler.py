"""Crop, scale and turn the chosen frames, in one filter graph, in the stream's own colour."""

from typing import Any, Literal, cast

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

from vbert.video.frame_grid import ClipSpec, Color, crop_box
from vbert.video.opening import Area, pixel_aspect, time_base

FULL_RANGE = 2  # AVCOL_RANGE_JPEG

# AVColorSpace -> the matrix that we hand on. All else is handed on as BT.601: swscale takes what is not
# specified as that, and converts the rest.
MATRICES: dict[int, Literal["bt601", "bt709", "bt2020"]] = {1: "bt709", 9: "bt2020", 10: "bt2020"}

# AVColorSpace that swscale converts (not specified, BT.709, FCC, BT.470BG, SMPTE 170M and 240M, BT.2020); it
# refuses all others.
SCALED_COLORSPACES = {1, 2, 4, 5, 6, 7, 9}
UNSPECIFIED, BT2020 = 2, 9


class FrameScaler:
    """Crop, scale, yuv420p, rotate, in one filter graph; it is made anew when the frames' format changes."""

    def __init__(self, stream: VideoStream, spec: ClipSpec, area: Area) -> None:
        self.color = _color_of(stream)
        self._area = area
        self._stored_size = stream.width, stream.height
        self._spec = spec
        self._time_base = time_base(stream)
        self._pixel_aspect = pixel_aspect(stream)
        self._key: tuple[object, ...] = ()
        self._graph = Graph()

    def scale(self, frame: VideoFrame) -> np.ndarray:
        """The frame's planes as uint8 [ClipSpec.yuv_bytes]."""
        name_a_matrix(frame)
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
        is_as_stored = (frame.width, frame.height) == self._stored_size
        area = self._area if is_as_stored else Area(0, 0, frame.width, frame.height)
        x, y, width, height = crop_box(
            area.width, area.height, crop_share=self._spec.crop_share, pixel_aspect=self._pixel_aspect
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
            graph.add("crop", f"{width}:{height}:{area.x + x}:{area.y + y}"),
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


def name_a_matrix(frame: VideoFrame) -> None:
    """In place of one that swscale refuses, the nearest that it converts."""
    if int(frame.colorspace) not in SCALED_COLORSPACES and not frame.format.is_rgb:
        frame.colorspace = BT2020 if MATRICES.get(int(frame.colorspace)) == "bt2020" else UNSPECIFIED


def _color_of(stream: VideoStream) -> Color:
    """What the filter graph hands out: the stream's own colour, but RGB and gray are converted."""
    if stream.pix_fmt is None:  # FFmpeg could not decode enough to know
        return Color(matrix="bt601", full_range=False)
    pixel_format = stream.format
    if pixel_format.is_rgb or len(pixel_format.components) < 3:
        return Color(matrix="bt601", full_range=False)
    full_range = stream.color_range == FULL_RANGE or pixel_format.name.startswith("yuvj")
    return Color(matrix=MATRICES.get(stream.colorspace, "bt601"), full_range=full_range)


def _nameless_type(cls: type[SideDataType], value: object) -> SideDataType:
    """Exif, the view of a stereo picture and whatever FFmpeg will add are no reason to fail a frame."""
    member = cast("Any", object.__new__(cls))
    member._value_, member._name_ = value, f"TYPE_{value}"
    return cast("SideDataType", member)


# PyAV knows the types of side data of its day, and raises ValueError for all of a frame's where one is new.
SideDataType._missing_ = classmethod(_nameless_type)  # type: ignore[assignment]


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
