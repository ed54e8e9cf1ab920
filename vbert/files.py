"""Files by their uris: a path or a URL, and the store that a URL names.

A file is named by its uri: the plain absolute path of a local file, or the fsspec URL of any other. A
local path that is not UTF-8 (it cannot stand in a table) is a file:// URL with its bytes percent-encoded.
"""

import functools
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import quote, unquote_to_bytes

import fsspec
import pyarrow.fs
from fsspec.implementations.local import LocalFileSystem

from vbert.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "azure", "abfss": "azure", "az": "azure"}
CREDENTIALS = "give it in the environment, as the store's own tools want it"
# A token expires a moment before it is renewed; the others are a store's own troubles.
PASSING_CODES = {"ExpiredToken", "RequestTimeout", "InternalError", "ServiceUnavailable", "503", "500"}
MAX_TRIES = 6

STORES_PACKAGES = {"botocore", "aiobotocore", "aiohttp", "google", "gcsfs", "azure", "adlfs"}

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
    return replace(config, **{name: absolute_uri(path) for name, path in given.items() if path is not None})


def filesystem_of(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it. Credentials are the environment's.

    What a store refuses for a moment is asked for again: by Google's and Azure's file systems, by S3's with
    our say about which refusals pass. UserError for a URL that no installed package reads, or with a
    password in it, since uris stand in tables and logs.
    """
    protocol, _, rest = uri.partition("://")
    if rest and ":" in rest.split("/")[0].rpartition("@")[0]:
        raise UserError(f"{protocol}://...@{rest.rpartition('@')[2]}: has a password in it; {CREDENTIALS}")
    try:
        store, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        fix = f"pip install 'vbert[{extra}]'" if extra else str(error)
        raise UserError(
            f"{uri}: reading {protocol}:// needs a package that is not installed; {fix}"
        ) from error
    except ValueError as error:
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
        return Path(path).open("rb")
    store, store_path = filesystem_of(uri)
    return store.open(store_path, "rb", block_size=RANGE_BYTES)


def stem_of(uri: str) -> str:
    """`one` of `talks/one.mp4`: the file's name without its extension."""
    return uri.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """What Arrow reads a folder or bucket URL with, and the path there.

    Arrow's own for a local folder: threads of Arrow that read through Python while Python ends abort the
    process, after all its work was done (apache/arrow, issues 34314 and 36389).
    """
    filesystem, path = filesystem_of(uri)
    if isinstance(filesystem, LocalFileSystem):
        return pyarrow.fs.LocalFileSystem(), path
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)), path


def write_json(uri: str, value: Any) -> None:
    """Write a file and, if need be, its folder."""
    filesystem, path = filesystem_of(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, json.dumps(value, indent=2).encode())


def extension_of(name: str) -> str:
    """`mp4` of `talks/One.MP4`, "" where there is none."""
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem and "/" not in extension else ""
