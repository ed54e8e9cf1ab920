"""S3 on this machine: moto's, in a process of its own, behind a proxy that counts bytes and makes faults."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3fs

from tests.store_proxy import COUNTS
from vbert.storage.files import filesystem_of

PROXY = Path(__file__).with_name("store_proxy.py")


@dataclass(frozen=True)
class ObjectStore:
    """Where it is; nothing of it needs a key."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a job that uses it finds in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "not-to-be-logged",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def counts(self) -> dict[str, int]:
        """Since the start: bytes sent, in all and of each folder, requests to each folder, faults by kind."""
        with urllib.request.urlopen(self.url + COUNTS) as answer:
            lines = answer.read().decode().splitlines()
        return {name: int(count) for name, count in (line.rsplit(" ", 1) for line in lines)}


@contextmanager
def object_store(*, share_of_faults: float = 0.0, seed: int = 0) -> Iterator[ObjectStore]:
    """A store without buckets, until the end of the context."""
    store, proxy = free_port(), free_port()
    options = ["--port", str(proxy), "--upstream", str(store), "--share", str(share_of_faults)]
    commands = (
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(store)],
        [sys.executable, str(PROXY), *options, "--seed", str(seed)],
    )
    quiet = subprocess.DEVNULL
    processes = [subprocess.Popen(command, stdout=quiet, stderr=quiet) for command in commands]
    try:
        for port in (store, proxy):
            wait_for(port)
        yield ObjectStore(f"http://127.0.0.1:{proxy}")
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def make_bucket(store: ObjectStore, patch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and the store in this process's environment."""
    for name, value in store.environment.items():
        patch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    filesystem, _ = filesystem_of("s3://corpus")
    if filesystem.exists("s3://corpus"):
        filesystem.rm("s3://corpus", recursive=True)
    filesystem.mkdir("s3://corpus")
    return "s3://corpus"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"nothing listens at {port}"
        time.sleep(0.1)
