"""Which files lie where, how large, and which version: from listings and stats, no file opened."""

import errno
import hashlib
import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from vbert.errors import UserError
from vbert.storage.ahead import ahead
from vbert.storage.files import extension_of, filesystem_of, is_stores, local_path, local_uri, open_file
from vbert.tables.schemas import short_hash

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

# What names a file's version on a store, the surest first. "created" is all the memory store has.
VERSION_KEYS = (
    "ETag", "md5Hash", "etag", "LastModified", "last_modified", "Last-Modified", "mtime", "updated", "created"
)  # fmt: skip

# A folder of a store that so many wanted files share is listed in one go instead of asked file by file:
# an S3 listing gives 1,000 names for one request, so it is cheaper up to 1,000 x 16 files in the folder.
MIN_FILES_TO_LIST = 16

FILES_PER_PART = 16_384

# Requests wait for the store, not for the CPU.
NUM_THREADS = 32


class FileStamp(NamedTuple):
    """A file's size, if the store tells it, and its fingerprint, which changes when the file does."""

    size_bytes: int | None
    fingerprint: str


MISSING = FileStamp(None, "missing")
# Links may lead nowhere, through a file as if it were a folder, or in a circle.
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def list_files(
    folder: str,
    *,
    extensions: Collection[str],
    max_depth: int | None = None,
    other_files: Counter[str] | None = None,
) -> Iterator[dict[str, FileStamp]]:
    """Every file under `folder` with one of the `extensions` (lower case, without the dot), by its uri: some
    folders at a time, each whole.

    Hidden files and folders are left out; `other_files` counts the others by extension. `max_depth` 1 stays
    in the folder itself. UserError for a folder that cannot be read, nothing for one of a store that does not
    exist (stores know no folders).
    """
    path = local_path(folder)
    others = Counter[str]() if other_files is None else other_files
    folders = (
        _list_local(path, frozenset(extensions), max_depth, others)
        if path is not None
        else _list_store(folder, frozenset(extensions), max_depth, others)
    )
    part: dict[str, FileStamp] = {}
    try:
        for stamps in folders:
            part |= stamps
            if len(part) >= FILES_PER_PART:
                yield part
                part = {}
    except Exception as error:
        if not is_stores(error):
            raise
        raise UserError(
            f"{folder}: cannot be listed ({error}); correct the path, its permissions or the credentials"
        ) from error
    if part:
        yield part


def stat_files(uris: Collection[str]) -> dict[str, FileStamp]:
    """The stamp of each of `uris`, `MISSING` for a file that does not exist. UserError without permission."""
    stamps = {}
    remote = defaultdict(list)
    try:
        for uri in uris:
            path = local_path(uri)
            if path is not None:
                stamps[uri] = _stat_local(path)
            else:
                remote["/".join(uri.split("/", 3)[:3])].append(uri)  # protocol and host, or bucket
        for store_uris in remote.values():
            stamps |= _stat_store(store_uris)
    except PermissionError as error:
        raise UserError(f"{error}: make the file readable, or leave it out") from error
    return stamps


def content_stamps(stamps: dict[str, FileStamp]) -> dict[str, FileStamp]:
    """The same files with fingerprints of their content: every file is read whole, several at a time."""
    present = [uri for uri, stamp in stamps.items() if stamp != MISSING]
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        hashes = threads.map(_content_hash, present)
        hashed = {
            uri: FileStamp(stamps[uri].size_bytes, digest)
            for uri, digest in zip(present, hashes, strict=True)
        }
    return stamps | hashed


def _content_hash(uri: str) -> str:
    with open_file(uri) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _stat_local(path: str) -> FileStamp:
    try:
        stat = os.stat(path)  # noqa: PTH116 (a Path a file makes a walk of 100,000 files twice as slow)
    except OSError as error:
        if error.errno not in NOT_THERE:
            raise
        return MISSING
    return FileStamp(stat.st_size, short_hash(str(stat.st_size), str(stat.st_mtime_ns)))


def _list_local(
    root: str, extensions: frozenset[str], max_depth: int | None, others: Counter[str]
) -> Iterator[dict[str, FileStamp]]:
    """A folder at a time. Walks through links to folders too, but each once: by its own path before a link's.

    A link to nothing, or to itself, is a file that is missing, so that someone hears of it.
    """
    visited = set()
    pending = [(False, root, 1)]  # is a link, path, depth: the heap gives real folders first, then by name
    while pending:
        _, folder, depth = heapq.heappop(pending)
        stat = os.stat(folder)  # noqa: PTH116
        if (stat.st_dev, stat.st_ino) in visited:
            continue
        visited.add((stat.st_dev, stat.st_ino))
        stamps = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    if depth != max_depth:
                        heapq.heappush(pending, (entry.is_symlink(), entry.path, depth + 1))
                elif extension_of(entry.name) in extensions:
                    stamps[local_uri(entry.path)] = _stat_local(entry.path)
                else:
                    others[extension_of(entry.name)] += 1
        yield stamps


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in NOT_THERE:
            return False
        raise


def _url_maker(store: Any, url: str, path: str) -> Callable[[str], str]:
    """A function from the store's paths to URLs in the form of `url`, which lies at `path`."""
    if url.rstrip("/").endswith(path):  # keeps what comes before the path: sftp://host
        prefix = url.rstrip("/").removesuffix(path)
        return lambda found: prefix + found
    return lambda found: str(store.unstrip_protocol(found))


def _store_stamp(info: dict[str, Any]) -> FileStamp:
    version = next((info[key] for key in VERSION_KEYS if info.get(key)), "")
    moment = version.timestamp() if isinstance(version, datetime) else version
    size = info.get("size")
    return FileStamp(None if size is None else int(size), short_hash(str(size), str(moment).strip('"')))


def _list_store(
    url: str, extensions: frozenset[str], max_depth: int | None, others: Counter[str]
) -> Iterator[dict[str, FileStamp]]:
    store, root = filesystem_of(url)
    url_of = _url_maker(store, url, root)
    store.invalidate_cache()  # fsspec keeps listings for the life of the process
    for infos in _list_prefixes(store, root, max_depth):
        store.invalidate_cache()
        stamps = {}
        for path, info in infos.items():
            if "/." in path.removeprefix(root):
                continue
            if extension_of(path) in extensions:
                stamps[url_of(path)] = _store_stamp(info)
            else:
                others[extension_of(path)] += 1
        yield stamps


def _list_prefixes(store: Any, root: str, max_depth: int | None) -> Iterator[dict[str, dict[str, Any]]]:
    """What lies under `root`, by path, a part at a time.

    A listing gives 1,000 names for one request and then waits for the next, so prefixes are listed side by
    side: those of the first level of folders that has enough of them, or whose folders have none.
    """
    prefixes, depth = [root], max_depth
    while 0 < len(prefixes) < NUM_THREADS and depth != 1:
        below: list[str] = []
        for infos in ahead(lambda prefix: _list_folder(store, prefix), prefixes, num_threads=NUM_THREADS):
            below += [path for path, info in infos.items() if info["type"] == "directory"]
            yield {path: info for path, info in infos.items() if info["type"] != "directory"}
        prefixes, depth = below, depth and depth - 1
    yield from ahead(
        lambda prefix: store.find(prefix, maxdepth=depth, detail=True), prefixes, num_threads=NUM_THREADS
    )


def _list_folder(store: Any, folder: str) -> dict[str, dict[str, Any]]:
    try:
        infos = store.ls(folder, detail=True)
    except FileNotFoundError:  # stores know no folders
        return {}
    return {
        info["name"].rstrip("/"): info for info in infos if info["name"].rstrip("/") != folder.rstrip("/")
    }


def _stat_store(urls: Collection[str]) -> dict[str, FileStamp]:
    """The stamps of files of one store: by folder where many share one, else each by a request of its own."""
    store, _ = filesystem_of(next(iter(urls)))
    store.invalidate_cache()
    paths = {url: str(store._strip_protocol(url)) for url in urls}
    by_folder = defaultdict(set)
    for path in paths.values():
        by_folder[path.rpartition("/")[0]].add(path)

    stamps: dict[str, FileStamp] = {}
    alone: list[str] = []
    for folder, wanted in by_folder.items():
        # A web server has no listing to trust.
        if len(wanted) < MIN_FILES_TO_LIST or folder.startswith("http"):
            alone.extend(wanted)
        else:
            stamps |= _stat_folder(store, folder, wanted)
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        stamps.update(zip(alone, threads.map(lambda path: _stat_one(store, path), alone), strict=True))
    return {url: stamps.get(path, MISSING) for url, path in paths.items()}


def _stat_folder(store: Any, folder: str, wanted: Iterable[str]) -> dict[str, FileStamp]:
    try:
        infos = {info["name"]: info for info in store.ls(folder, detail=True)}
    except FileNotFoundError:
        return {}
    return {path: _store_stamp(infos[path]) for path in wanted if path in infos}


def _stat_one(store: Any, path: str) -> FileStamp:
    try:
        return _store_stamp(store.info(path))
    except FileNotFoundError:
        return MISSING
