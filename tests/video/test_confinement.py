"""Who opens a local file can do little else: what a file that takes the decoder over would do first."""

import socket
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.hostile_modules import write_hostile_modules
from tests.videos import Video, write_video
from vbert.errors import VideoError
from vbert.video.confinement import without_credentials
from vbert.video.decode import Decoder, decode_clips
from vbert.video.decode_child import DecodeLimits
from vbert.video.frame_grid import ClipSpec
from vbert.video.isolation import DecoderProcess
from vbert.video.media import Segment

SPEC = ClipSpec(clip_seconds=0.5, frames_per_clip=3, size=32, crop_share=1.0)
ALL = Segment(index=0, first_clip=0, num_clips=4)
SECRETS = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AZURE_STORAGE_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("HF_TOKEN", "RAY_AUTH_TOKEN", "MY_SECRET", "PYTHON_KEYRING"),
)


@pytest.fixture(scope="module")
def process() -> Iterator[DecoderProcess]:
    process = DecoderProcess(DecodeLimits())
    yield process
    process.close()


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of two seconds; children find a decoder and a store that misbehave."""
    monkeypatch.syspath_prepend(str(write_hostile_modules(tmp_path / "modules")))
    return write_video(tmp_path / "good.mp4", Video(num_frames=20, fps=Fraction(10)))


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_who_opens_a_local_file_starts_no_program_and_reaches_no_one(video: Path, listening: int):
    """The same deeds succeed in the child for stores, which wants the network."""
    process = DecoderProcess(DecodeLimits())
    for deed in (f"phone-{listening}", "start", "trace"):
        file = video.with_name(f"{deed}.mp4")
        file.hardlink_to(video)
        with pytest.raises(VideoError, match="Operation not permitted"):
            list(process.decode_clips(str(file), ALL, SPEC, decoder="decord"))
        assert len(list(process.decode_clips(f"hostile://{file}", ALL, SPEC))) == 4
    process.close()


def test_who_opens_a_local_file_has_no_credentials(video: Path, monkeypatch: pytest.MonkeyPatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    process = DecoderProcess(DecodeLimits())
    file = video.with_name("tell.mp4")
    file.hardlink_to(video)
    told = []
    for uri, decoder in ((str(file), "decord"), (f"hostile://{file}", "pyav")):
        with pytest.raises(VideoError) as caught:
            list(process.decode_clips(uri, ALL, SPEC, decoder=decoder))
        told.append(set(caught.value.reason.split()))
    process.close()
    assert not told[0].intersection(SECRETS)
    assert told[1].issuperset(SECRETS), "a store's client reads them there"


def test_python_its_libraries_and_its_language_are_told():
    told = ["PATH", "HOME", "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "LC_ALL", "OMP_NUM_THREADS"]
    told += ["CUDA_VISIBLE_DEVICES"]
    assert list(without_credentials(dict.fromkeys([*told, *SECRETS], "1"))) == told


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_other_decoders_want_no_more_rights(decoder: Decoder, process: DecoderProcess, tmp_path: Path):
    pytest.importorskip(decoder)
    file = str(write_video(tmp_path / "a.mp4", Video(num_frames=20, fps=Fraction(10))))
    expected = [clip.frames for clip in decode_clips(file, ALL, SPEC, decoder=decoder)]
    found = [clip.frames for clip in process.decode_clips(file, ALL, SPEC, decoder=decoder)]
    assert len(found) == 4
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))
