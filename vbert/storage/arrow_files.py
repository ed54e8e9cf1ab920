"""Files as Arrow reads them: the bytes that it asks for, and no others."""

from typing import Any

import pyarrow as pa
import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from vbert.storage.files import filesystem_of


def arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """What Arrow reads a folder or bucket URL with, and the path there.

    Arrow's own for a local folder: threads of Arrow that read through Python while Python ends abort the
    process, after all its work was done (apache/arrow, issues 34314 and 36389).
    """
    filesystem, path = filesystem_of(uri)
    if isinstance(filesystem, LocalFileSystem):
        return pyarrow.fs.LocalFileSystem(), path
    return pyarrow.fs.PyFileSystem(ExactRanges(filesystem)), path


class ExactRanges(pyarrow.fs.FSSpecHandler):  # type: ignore[misc]  # has no types
    """A store whose files are asked for the bytes that Arrow wants: it knows which columns it needs, and what
    fsspec reads ahead of each is thrown away."""

    def open_input_file(self, path: str) -> pa.PythonFile:
        """A file to be read here and there."""
        return pa.PythonFile(FirstReadKept(self.fs.open(path, mode="rb", cache_type="none")), mode="r")


class FirstReadKept:
    """An open file whose first read is not done again: Arrow begins with the end of a Parquet file, and of a
    small one that is all."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._first: bytes | None = None
        self._first_at = 0
        self.tell, self.seek, self.close = file.tell, file.seek, file.close

    @property
    def closed(self) -> bool:
        """As of any file."""
        return bool(self._file.closed)

    def read(self, num_bytes: int) -> bytes:
        """So many from where it is, or those up to its end."""
        at = self._file.tell()
        if self._first is None:
            self._first, self._first_at = self._file.read(num_bytes), at
            return self._first
        start = at - self._first_at
        if start >= 0 and start + num_bytes <= len(self._first):
            self._file.seek(at + num_bytes)
            return self._first[start : start + num_bytes]
        found: bytes = self._file.read(num_bytes)
        return found
