"""Packages that misbehave, for a child process to import: a decoder and a store, whose files say how."""

from pathlib import Path

# What a file's name makes them do. A greedy one asks for more than any test allows.
MISDEEDS = """
import ctypes, os, signal, socket, subprocess, time
import numpy as np

def misbehave(path):
    name = path.rsplit("/", 1)[-1]
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("hang"):
        time.sleep(3600)
    if name.startswith("greedy"):
        np.ones(2**34, np.uint8)
    if name.startswith("leave"):
        os._exit(3)
    if name.startswith("wrong"):
        raise ZeroDivisionError("nobody foresaw this")
    if name.startswith("phone"):
        socket.create_connection(("127.0.0.1", int(name.split("-")[1].split(".")[0]))).close()
    if name.startswith("start"):
        subprocess.run(["true"], check=True)
    if name.startswith("trace"):
        if ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if name.startswith("tell"):
        raise RuntimeError(" ".join(sorted(os.environ)))
"""

DECORD = """
import av
from hostile_misdeeds import misbehave

class DECORDError(Exception):
    pass

class DECORDLimitReachedError(Exception):
    pass

class Frame:
    def __init__(self, frame):
        self.frame = frame

    def asnumpy(self):
        return self.frame.to_ndarray(format="rgb24")

class VideoReader:
    def __init__(self, path, ctx, num_threads, fault_tol):
        misbehave(path)
        try:
            with av.open(path) as container:
                self.frames = list(container.decode(video=0))
        except av.FFmpegError as error:
            raise DECORDError(str(error)) from error

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        return Frame(self.frames[index])

def cpu(index):
    return index
"""

STORE = """
from fsspec import AbstractFileSystem
from hostile_misdeeds import misbehave

class HostileStore(AbstractFileSystem):
    protocol = "hostile"

    def _open(self, path, mode="rb", **options):
        misbehave(path)
        return open(path, mode)
"""


def write_hostile_modules(folder: Path) -> Path:
    """A folder for PYTHONPATH: `decord`, and fsspec's protocol hostile:// of local files."""
    package = folder / "hostile-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[fsspec.specs]\nhostile = hostile_store.HostileStore\n")
    for name, text in (("hostile_misdeeds", MISDEEDS), ("decord", DECORD), ("hostile_store", STORE)):
        (folder / f"{name}.py").write_text(text)
    return folder
