"""Decode a segment of a video into clips, with the decoder of the user's choice."""

from collections.abc import Iterator
from typing import Literal

from vbert.errors import UserError
from vbert.video.decode_decord import decode_with_decord
from vbert.video.decode_pyav import decode_with_pyav
from vbert.video.decode_torchcodec import decode_with_nvdec, decode_with_torchcodec
from vbert.video.frame_grid import Clip, ClipSpec
from vbert.video.media import Segment

Decoder = Literal["pyav", "decord", "torchcodec", "nvdec"]
NVDEC: Decoder = "nvdec"


def decode_clips(
    uri: str,
    segment: Segment,
    spec: ClipSpec,
    *,
    decoder: Decoder = "pyav",
    skip_loop_filter: bool = False,
) -> Iterator[Clip]:
    """The clips of `segment` that the video really covers, in order, one in memory at a time.

    pyav, the default, hands out yuv420p in the stream's own colour; the others RGB. All choose the same
    frames and the same part of the picture; the others refuse a video of which they would give wrong frames
    after a seek (MPEG-TS, MPEG-PS, AVI). Only pyav counts damage: the others refuse a frame that does not
    decode, and may not notice one that decodes badly. nvdec is torchcodec on a GPU, which crops and scales,
    too. `skip_loop_filter` (pyav only) leaves out the codec's deblocking: it is faster, and the pixels differ
    a little.

    Nothing is opened before the first clip is asked for, and all is closed with the iterator. Raises
    UserError for a decoder that is not installed; while iterating, VideoError("decode", reason) if no clip
    can be had.
    """
    if decoder == "pyav":
        return decode_with_pyav(uri, segment, spec, skip_loop_filter=skip_loop_filter)
    if skip_loop_filter:
        raise UserError(f"skip_loop_filter works with decoder pyav only, got decoder {decoder}")
    if decoder == "decord":
        return decode_with_decord(uri, segment, spec)
    if decoder == NVDEC:
        return decode_with_nvdec(uri, segment, spec)
    return decode_with_torchcodec(uri, segment, spec)
