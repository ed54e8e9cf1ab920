"""Files of a store that are read here and there: a video's header, its index, and then a segment."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vbert.storage.files import filesystem_of

BLOCK_BYTES = 8 * 2**20  # a request each
NUM_BLOCKS = 6  # kept, the last used: header, index, and what a segment reads between the two
LOOK_BYTES = 2**18  # where only the header is wanted
KEPT_SECONDS = 60.0  # segments of a video follow each other; after a while the file may be another

_lock = threading.Lock()
_kept: list[tuple[str, float, Any]] = []  # the one file that was closed last: uri, when, file


@contextmanager
def open_blocks(uri: str) -> Iterator[Any]:
    """The file at `uri` of a store, for reading bytes in whole blocks.

    It stays open, with its blocks, until another is opened: who opens it again within KEPT_SECONDS reads no
    block twice.
    """
    file = _take(uri) or _opened(uri, BLOCK_BYTES)
    file.seek(0)
    try:
        yield file
    except BaseException:
        file.close()
        raise
    _keep(uri, file)


@contextmanager
def open_to_look(uri: str) -> Iterator[Any]:
    """The same for a look at the header: small blocks, and it is closed."""
    with _opened(uri, LOOK_BYTES) as file:
        yield file


def _opened(uri: str, block_bytes: int) -> Any:
    store, path = filesystem_of(uri)
    options = {"cache_type": "blockcache", "cache_options": {"maxblocks": NUM_BLOCKS}}
    return store.open(path, "rb", block_size=block_bytes, **options)


def _take(uri: str) -> Any:
    """The kept file if it is this one and not too old; of others nothing is kept any longer."""
    with _lock:
        kept = _kept.pop() if _kept else None
    if kept is None:
        return None
    name, since, file = kept
    if name == uri and time.monotonic() - since < KEPT_SECONDS:
        return file
    file.close()
    return None


def _keep(uri: str, file: Any) -> None:
    with _lock:
        others, _kept[:] = _kept[:], [(uri, time.monotonic(), file)]
    for _, _, other in others:
        other.close()
