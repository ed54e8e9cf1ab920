"""Decoders that may be absent."""

import pytest

from vbert.video.decode import Decoder


def require(decoder: Decoder) -> Decoder:
    """Skips the test where `decoder` is not installed, or what it needs is not."""
    module = pytest.importorskip(decoder if decoder != "pyav" else "av")
    if decoder == "torchcodec" and module.ffmpeg_major_version is None:
        pytest.skip("torchcodec finds no shared libraries of FFmpeg")
    return decoder
