"""A bucket that is not there: as many videos as one likes, a thousand a folder, listed at a bucket's pace.

simulated://10000000-30/videos    ten million videos, 30 ms a request of up to 1,000 names
"""

import time
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

FILES_A_FOLDER = 1000
PROTOCOL = "simulated"


class SimulatedStore(AbstractFileSystem):  # type: ignore[misc]  # has no types
    """Lists what its address says; opens nothing."""

    protocol = PROTOCOL

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002
        """The folders of the root, or a folder's videos."""
        path = self._strip_protocol(path).rstrip("/")
        address, *folders = path.split("/")
        num_videos, milliseconds = map(int, address.split("-"))
        num_folders = -(-num_videos // FILES_A_FOLDER)
        if len(folders) < 2:
            time.sleep(milliseconds / 1000 * -(-num_folders // 1000))
            found = [{"name": f"{path}/{at:06}", "type": "directory", "size": 0} for at in range(num_folders)]
        else:
            time.sleep(milliseconds / 1000)
            first = int(folders[-1]) * FILES_A_FOLDER
            numbers = range(first, min(first + FILES_A_FOLDER, num_videos))
            found = [
                {"name": f"{path}/{at:09}.mp4", "type": "file", "size": at, "ETag": f'"{at:032x}"'}
                for at in numbers
            ]
        return found if detail else [entry["name"] for entry in found]


def register() -> None:
    """So that fsspec knows it."""
    fsspec.register_implementation(PROTOCOL, SimulatedStore, clobber=True)
