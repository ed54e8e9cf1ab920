"""A checkpoint: a folder that `from_pretrained` opens, and what it takes to go on training from it.

    config.json, model.safetensors, tokenizer.json   the model and its words
    optimizer.safetensors                            AdamW's moments, named by parameter
    progress.json                                    step, place in the data, options

and beside a model that is done, so that it can be asked about a video file alone:

    vocabularies/<id>, featurizers/<id>.json         the visual vocabulary, and how its features are made

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

from vbert.errors import UserError
from vbert.files import filesystem_of, local_path
from vbert.text import JointVocabulary

CONFIG = "config.json"
OPTIMIZER = "optimizer.safetensors"
PROGRESS = "progress.json"
TOKENIZER = "tokenizer.json"
VOCABULARIES = "vocabularies"
FEATURIZERS = "featurizers"


@contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """The folder itself, or for as long as it is needed a copy of one in a bucket."""
    path = local_path(uri)
    if path is not None:
        yield Path(path)
        return
    filesystem, remote = filesystem_of(uri)
    with TemporaryDirectory() as name:
        filesystem.get(f"{remote.rstrip('/')}/", name, recursive=True)
        yield Path(name)


def read_progress(folder: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given."""
    progress: dict[str, Any] = json.loads((folder / PROGRESS).read_text())
    return progress


def read_vocabulary(folder: Path | str) -> JointVocabulary:
    """The ids that a checkpoint's model knows."""
    config = json.loads((Path(folder) / CONFIG).read_text())
    config = config.get("encoder", config)  # of a caption writer
    return JointVocabulary(
        tokenizer_json=(Path(folder) / TOKENIZER).read_text(),
        num_word_pieces=config["vocab_size"],
        num_visual_tokens=config["num_visual_tokens"],
    )


def read_json(uri: str, name: str) -> dict[str, Any]:
    """CONFIG or PROGRESS of a checkpoint in a folder or bucket, and nothing else of it. UserError if there is
    none."""
    filesystem, path = filesystem_of(f"{uri.rstrip('/')}/{name}")
    if not filesystem.isfile(path):
        raise no_checkpoint(uri, missing=name)
    found: dict[str, Any] = json.loads(filesystem.cat_file(path))
    return found


def visual_vocabulary_of(uri: str) -> str:
    """Id of the visual vocabulary that a checkpoint's model was trained with. UserError for a model of
    continuous features."""
    if read_json(uri, CONFIG).get("visual_feature_dim") is not None:
        raise UserError(f"{uri}: takes features and knows no visual tokens; pretrain with tokens")
    vocabulary: str = read_json(uri, PROGRESS)["vocabulary"]
    return vocabulary


def no_checkpoint(uri: str, *, missing: str) -> UserError:
    """The error for a folder that is none."""
    return UserError(f"{uri}: no checkpoint (it has no {missing}); give the folder that pretrain printed")
