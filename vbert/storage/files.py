"""Files by their uris: a path or a URL, and the store that a URL names.

A file is named by its uri: the plain absolute path of a local file, or the fsspec URL of any other. A
local path that is not UTF-8 (it cannot stand in a table) is a file:// URL with its bytes percent-encoded.
"""

import errno
import functools
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar
from urllib.parse import quote, unquote_to_bytes

import fsspec
from fsspec.implementations.local import LocalFileSystem

from vbert.errors import UserError
from vbert.storage.secrets import refuse_secrets

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "azure", "abfss": "azure", "az": "azure"}
# A token expires a moment before it is renewed; the others are a store's own troubles.
PASSING_CODES = {"ExpiredToken", "RequestTimeout", "InternalError", "ServiceUnavailable", "503", "500"}
MAX_TRIES = 6

STORES_PACKAGES = {"botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "azure", "adlfs"}

# What a user can mend about a disk, and how.
SPACE = "the disk is full: free some space, or name another place"
RIGHTS = "give this user the right to it, or name another place"
FIXES = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EROFS: "name a place that is not read-only",
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.ENOENT: "correct the path",
    errno.ENOTDIR: "correct the path: a file stands where a folder should",
    errno.EEXIST: "correct the path: a file stands where a folder should",
    errno.EISDIR: "correct the path: a folder stands where a file should",
    errno.ENAMETOOLONG: "shorten the path",
    errno.ESPIPE: "name a file",
}
# As Python and Rust name an error's number, also within what Ray tells of a worker's error.
ERROR_NUMBER = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)")

# What a read of a store's file asks for at least: a segment of a large video takes its own part of the file,
# not the 50 MB that S3's file system takes by default.
RANGE_BYTES = 4 * 2**20


def local_path(uri: str) -> str | None:
    """The path of a local file, absolute and with bytes that are not UTF-8 as surrogates; None: not local."""
    if uri.startswith("file://"):
        return os.path.abspath(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))  # noqa: PTH100
    return None if "://" in uri else os.path.abspath(uri)  # noqa: PTH100 (Path(...).absolute() keeps "..")


def local_uri(path: str) -> str:
    """The uri of an absolute local path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(path))
    return path


def absolute_uri(uri: str) -> str:
    """A path made absolute, a URL as it is; without a slash at its end."""
    path = local_path(uri)
    return uri.rstrip("/") if path is None else local_uri(path)


def with_absolute_paths(config: Config, *names: str) -> Config:
    """A job's options with its paths made absolute, since workers may run in another folder; None stays."""
    given = {name: getattr(config, name) for name in names}
    for name, path in given.items():
        if path == "":  # an unset variable of a shell: the folder that we are in is never meant
            raise UserError(f"--{name.replace('_', '-')} is empty; give a path or a URL")
        refuse_secrets(path or "")
    return replace(config, **{name: absolute_uri(path) for name, path in given.items() if path is not None})


def filesystem_of(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it. Credentials are the environment's.

    What a store refuses for a moment is asked for again: by Google's and Azure's file systems, by S3's with
    our say about which refusals pass. UserError for a URL that no installed package reads, or with a
    password, token or signature in it, since uris stand in tables and logs. A `::` is part of a name: one
    store is opened, and no chain of them.
    """
    path = local_path(uri)
    if path is not None:
        return LocalFileSystem(), path
    refuse_secrets(uri)
    protocol = uri.partition("://")[0]
    try:
        kind: Any = fsspec.get_filesystem_class(protocol)
        store, path = kind(**kind._get_kwargs_from_urls(uri)), kind._strip_protocol(uri)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        fix = f"pip install 'vbert[{extra}]'" if extra else str(error)
        raise UserError(
            f"{uri}: reading {protocol}:// needs a package that is not installed; {fix}"
        ) from error
    except (ValueError, TypeError, OSError) as error:  # an archive, which lies in a store, says it so
        known = "a local path, s3://, gs://, abfs://, https:// or another URL that fsspec knows"
        raise UserError(f"{uri}: cannot be opened ({error}); use {known}") from error
    if EXTRAS.get(protocol) == "s3":
        from s3fs.core import set_custom_error_handler  # an extra

        set_custom_error_handler(is_passing)
    return store, str(path)


def is_passing(error: Any) -> bool:
    """Whether S3 may well say something else in a moment, and its clients do not ask again by themselves."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        return response.get("Error", {}).get("Code") in PASSING_CODES
    return "ExpiredToken" in str(error)  # Rust's, in Delta


def is_stores(error: Exception) -> bool:
    """Whether it came from a store: no connection, no credentials, no permission. OSErrors often do."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in STORES_PACKAGES


def errno_of(error: BaseException) -> int | None:
    """The operating system's number of an error of Python, Rust or a worker of Ray; None: it has none."""
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    found = ERROR_NUMBER.search(str(error))
    return int(found[1] or found[2]) if found else None


def refusal(uri: str, error: BaseException, *, cannot: str = "be written") -> UserError:
    """What a user is told of a disk or store that refuses: the place, the reason, the fix."""
    number = errno_of(error)
    reason = os.strerror(number) if number is not None else " ".join(str(error).split())
    place = getattr(error, "filename", None)  # the file in the way, which may be another
    if place and str(place) != uri:
        reason += f": {place}"
    fix = FIXES.get(number or 0, "correct the path, its permissions or the credentials")
    return UserError(f"{uri}: cannot {cannot} ({reason}); {fix}")


@contextmanager
def writing(uri: str, *, cannot: str = "be written") -> Iterator[None]:
    """Around what writes to `uri`: what a user can mend about it (FIXES, or a store's refusal) is a UserError
    that names it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not (is_stores(error) or errno_of(error) in FIXES):
            raise
        raise refusal(uri, error, cannot=cannot) from error


def check_output(uri: str, *, kind: Literal["file", "folder"]) -> None:
    """UserError unless the file can be written, or files into the folder: known before hours of work.

    Something is written beside it, and removed with the folders that had to be made for it.
    """
    if not uri:
        raise UserError(f"--output is empty; give a {kind}")
    filesystem, path = filesystem_of(uri.rstrip("/"))
    if kind == "file" and filesystem.isdir(path):
        raise UserError(f"{uri}: is a folder; name a file in it")
    folder = path if kind == "folder" else path.rpartition("/")[0]
    made = []
    with writing(uri):
        if isinstance(filesystem, LocalFileSystem):  # stores have no folders
            made = [part for part in (Path(folder), *Path(folder).parents) if not part.exists()]
            filesystem.makedirs(folder, exist_ok=True)
        trial = f"{folder}/.vbert-{uuid.uuid4().hex}"
        filesystem.pipe_file(trial, b"whether this can be written")
        filesystem.rm_file(trial)
    for part in made:
        with suppress(OSError):  # another job has put something there meanwhile
            part.rmdir()


def retry_seconds(attempt: int) -> float:
    """How long to wait after a try that failed, the first being 1: 0.2 s, doubled each time."""
    return 0.1 * 2.0**attempt


def patient(function: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Decorate what may be done twice without harm: MAX_TRIES are made while its errors pass."""

    @functools.wraps(function)
    def patiently(*args: Asked.args, **options: Asked.kwargs) -> Answer:
        for attempt in range(1, MAX_TRIES):
            try:
                return function(*args, **options)
            except Exception as error:
                if not is_passing(error):
                    raise
                time.sleep(retry_seconds(attempt))
        return function(*args, **options)

    return patiently


def open_file(uri: str) -> Any:
    """The file at `uri`, open for reading bytes; its errors are those of `open` and `list_files`."""
    path = local_path(uri)
    if path is not None:
        check_seekable(path)
        return Path(path).open("rb")
    store, store_path = filesystem_of(uri)
    return store.open(store_path, "rb", block_size=RANGE_BYTES)


def check_seekable(path: str) -> None:
    """Raises OSError for a pipe, a socket or a device, which may keep who opens it waiting for ever."""
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.ESPIPE, "a pipe, a socket or a device, not a file", path)


def stem_of(uri: str) -> str:
    """`one` of `talks/one.mp4`: the file's name without its extension."""
    return uri.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def read_small_file(uri: str) -> bytes:
    """All of a file in one request. FileNotFoundError if there is none."""
    filesystem, path = filesystem_of(uri)
    try:
        data: bytes = filesystem.cat_file(path, start=0)  # without, S3's asks for the size first
    except Exception as error:
        if isinstance(error, FileNotFoundError) or not is_stores(error):
            raise
        data = filesystem.cat_file(path)  # an empty file has no such range
    return data


def make_folder_of(uri: str) -> None:
    """The folder in which a file is to be written, if it is not there. Object stores have none."""
    if uri.partition("://")[0] not in EXTRAS:
        filesystem, path = filesystem_of(uri)
        filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)


def write_file(uri: str, data: bytes) -> None:
    """Write a file and, if need be, its folder. Nobody ever sees a part of it, whenever this is cut off."""
    filesystem, path = filesystem_of(uri)
    with writing(uri):
        make_folder_of(uri)
        if not isinstance(filesystem, LocalFileSystem):  # stores show a file when they have all of it
            filesystem.pipe_file(path, data)
            return
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            filesystem.pipe_file(part, data)
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


@patient
def delete_file(uri: str) -> None:
    """Delete a file; another job may have done so before."""
    filesystem, path = filesystem_of(uri)
    with suppress(FileNotFoundError):
        filesystem.rm_file(path)


def write_json(uri: str, value: Any) -> None:
    """Write a file as `write_file` does."""
    write_file(uri, json.dumps(value, indent=2).encode())


def read_object(uri: str, *, fix: str) -> dict[str, Any]:
    """The JSON object in a file that is there. UserError, with the fix, for one that is broken."""
    try:
        found = json.loads(read_small_file(uri))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{uri}: broken JSON ({error}); {fix}") from error
    if not isinstance(found, dict):
        raise UserError(f"{uri}: broken (a {type(found).__name__} and not an object); {fix}")
    return found


def names_in(uri: str) -> list[str]:
    """The names of what lies in a folder, or under a bucket's URL, sorted; none where there is none."""
    filesystem, folder = filesystem_of(uri)
    filesystem.invalidate_cache()  # fsspec keeps listings for the life of the process
    if not filesystem.isdir(folder):
        return []
    return sorted({path.rstrip("/").rsplit("/", 1)[-1] for path in filesystem.ls(folder, detail=False)})


def extension_of(name: str) -> str:
    """`mp4` of `talks/One.MP4`, "" where there is none."""
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem and "/" not in extension else ""
