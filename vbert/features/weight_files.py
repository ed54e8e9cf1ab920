"""Files of weights, named by their content; without torch, which a run that finds nothing new never needs."""

import hashlib
from functools import cache
from pathlib import Path

from vbert.errors import UserError


def file_identity(path: Path) -> str:
    """8 hexadecimal digits of the content's sha256, as in the names of torchvision's weight files.

    The file is read once a process, until its size or time changes (100 MB: 0.1 s). UserError if there is no
    such file.
    """
    check_exists(path)
    status = path.stat()
    return _content_hash(path.absolute(), status.st_size, status.st_mtime_ns)


@cache
def _content_hash(path: Path, size_bytes: int, mtime_ns: int) -> str:
    """`size_bytes` and `mtime_ns` are there to be part of the cache's key."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def check_exists(path: Path) -> None:
    """UserError if there is no such file."""
    if not path.is_file():
        raise UserError(
            f"weights {path}: no such file; give --featurizer.weights a state dict (.pth or .safetensors)"
        )
