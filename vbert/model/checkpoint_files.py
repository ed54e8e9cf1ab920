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

import tokenizers

from vbert.errors import UserError
from vbert.storage.files import filesystem_of, local_path, open_file, read_object
from vbert.tables.schemas import is_id
from vbert.text.joint_vocabulary import JointVocabulary

CONFIG = "config.json"
TENSORS = "model.safetensors"
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
    none, or it is broken."""
    place = f"{uri.rstrip('/')}/{name}"
    filesystem, path = filesystem_of(place)
    if not filesystem.isfile(path):
        raise no_checkpoint(uri, missing=name)
    return read_object(place, fix="copy the checkpoint again")


def check_tensors(uri: str) -> None:
    """UserError unless a .safetensors file is whole; only its header is read."""
    filesystem, path = filesystem_of(uri)
    size = filesystem.size(path)
    try:
        with open_file(uri) as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, size)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{uri}: not a whole file of tensors; copy it again, or make it anew") from error
    if whole != size:
        raise UserError(f"{uri}: not a whole file of tensors ({size:,} bytes of {whole:,}); copy it again")


def check_model(uri: str) -> dict[str, Any]:
    """What a checkpoint's progress says. UserError unless the model can be opened: before workers try to."""
    read_json(uri, CONFIG)
    facts = read_json(uri, PROGRESS)
    if not is_id(facts.get("vocabulary")):
        raise UserError(
            f"{uri}/{PROGRESS}: names no visual vocabulary ({facts.get('vocabulary')!r}); "
            "give the folder that pretrain or finetune printed"
        )
    filesystem, path = filesystem_of(uri.rstrip("/"))
    for name in (TOKENIZER, TENSORS):
        if not filesystem.isfile(f"{path}/{name}"):
            raise no_checkpoint(uri, missing=name)
    try:
        tokenizers.Tokenizer.from_str(filesystem.cat_file(f"{path}/{TOKENIZER}").decode())
    except Exception as error:  # the package raises no other
        raise UserError(f"{uri}/{TOKENIZER}: no tokenizer ({error}); copy the checkpoint again") from error
    check_tensors(f"{uri.rstrip('/')}/{TENSORS}")
    return facts


def check_pretrained(uri: str) -> dict[str, Any]:
    """The same; UserError for a model that has been fine-tuned, whose other heads are gone."""
    facts = check_model(uri)
    if "task" in facts:
        raise UserError(
            f"{uri}: fine-tuned for {facts['task'].get('name')}, and not a pretrained model; "
            "give the one that pretrain printed"
        )
    return facts


def visual_vocabulary_of(uri: str) -> str:
    """Id of the visual vocabulary that a pretrained model was trained with. UserError for another model, and
    one of continuous features."""
    vocabulary: str = check_pretrained(uri)["vocabulary"]
    if read_json(uri, CONFIG).get("visual_feature_dim") is not None:
        raise UserError(f"{uri}: takes features and knows no visual tokens; pretrain with tokens")
    return vocabulary


def no_checkpoint(uri: str, *, missing: str) -> UserError:
    """The error for a folder that is none."""
    return UserError(f"{uri}: no checkpoint (it has no {missing}); give the folder that pretrain printed")
