"""A checkpoint: a folder that `from_pretrained` opens, and what it takes to go on training from it.

    config.json, model.safetensors, tokenizer.json   the model and its words
    optimizer.safetensors                            AdamW's moments, named by parameter
    progress.json                                    step, place in the data, options

Tensors are safetensors, so that opening a checkpoint runs no code. They are whole, not sharded: a run may go
on with another number of workers, or with FSDP instead of DDP. Randomness needs no state: it is seeded by the
step (see pretrain.py).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec

from vbert.listing import local_path

OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
TOKENIZER = "tokenizer.json"


@contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """The folder itself, or for as long as it is needed a copy of one in a bucket."""
    path = local_path(uri)
    if path is not None:
        yield Path(path)
        return
    filesystem, remote = fsspec.url_to_fs(uri)
    with TemporaryDirectory() as name:
        filesystem.get(f"{remote.rstrip('/')}/", name, recursive=True)
        yield Path(name)


def read_progress(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given."""
    progress: dict[str, Any] = json.loads((folder / PROGRESS).read_text())
    return progress
