"""Decoders that may be absent."""

import pytest

from vbert.video.decode import Decoder


def require(decoder: Decoder) -> Decoder:
    """Skips the test where `decoder` is not installed, or what it needs is not."""
    module = pytest.importorskip({"pyav": "av", "nvdec": "torchcodec"}.get(decoder, decoder))
    if module.__name__ == "torchcodec" and module.ffmpeg_major_version is None:
        pytest.skip("torchcodec finds no shared libraries of FFmpeg")
    return decoder
