"""Tables and videos in Azure's store: Azurite, Microsoft's own emulator."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listed import files_in
from tests.object_store import free_port, wait_for
from tests.table_rows import feature_rows, keys_of
from tests.videos import Video, write_video
from vbert.storage.files import filesystem_of
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import ClipSpec
from vbert.video.media import Segment, probe_video

pytestmark = pytest.mark.slow

# Azurite's account, the same everywhere: its documentation prints the key.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty container, and the account in this process's environment."""
    azurite = shutil.which("azurite-blob")
    if azurite is None:
        pytest.skip("no azurite-blob on the PATH: npm install --global azurite")
    port = free_port()
    command = [azurite, "--silent", "--skipApiVersionCheck", "--location", str(tmp_path / "azurite")]
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    )
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_STORAGE_CONNECTION_STRING": connection,  # adlfs takes the endpoint from it
        "AZURE_STORAGE_USE_EMULATOR": "true",  # and these are Delta's
        "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, "--blobPort", str(port)], stdout=quiet, stderr=quiet)
    try:
        wait_for(port)
        filesystem, path = filesystem_of("abfs://corpus")
        filesystem.mkdir(path)
        yield "abfs://corpus"
        type(filesystem).clear_instance_cache()
    finally:
        process.kill()
        process.wait()


def test_videos_and_tables_in_a_container_are_as_in_a_folder(container: str, tmp_path: Path):
    video = write_video(tmp_path / "a.mp4", Video(num_frames=30))
    filesystem, path = filesystem_of(container)
    filesystem.put(str(video), f"{path}/videos/a.mp4")
    (uri,) = files_in(f"{container}/videos", extensions={"mp4"})
    assert probe_video(uri) == probe_video(str(video))
    spec = ClipSpec(clip_seconds=0.5, frames_per_clip=2, size=32, crop_share=1.0)
    segment = Segment(index=0, first_clip=0, num_clips=2)
    remote, local = (list(decode_clips(place, segment, spec)) for place in (uri, str(video)))
    assert [clip.frames.tobytes() for clip in remote] == [clip.frames.tobytes() for clip in local] != []

    table = Table(f"{container}/tables", FEATURES)
    table.create()
    committer = Committer(table, partition="f-1")
    committer.commit([table.write_file(feature_rows("pq"))])
    committer.commit([table.write_file(feature_rows("p", segments=1, fingerprint="b"))], drop=["p"])
    assert keys_of(table) == [("p", 0, "b"), ("q", 0, "a"), ("q", 1, "a"), ("q", 2, "a")]
