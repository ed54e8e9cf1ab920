"""A listing whole."""

from typing import Any

from vbert.corpus.listing import FileStamp, list_files


def files_in(folder: str, **options: Any) -> dict[str, FileStamp]:
    return {uri: stamp for part in list_files(folder, **options) for uri, stamp in part.items()}
