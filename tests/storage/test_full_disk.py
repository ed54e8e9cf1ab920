"""Disks that fill up, and places that refuse: one line that names the place, and tables as they were."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.implementations.local import LocalFileOpener

from tests.table_rows import feature_rows, keys_of
from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from vbert.command_line import run_job
from vbert.errors import UserError
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.storage.files import check_output, write_json, writing
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES
from vbert.training.checkpoints import save_checkpoint
from vbert.training.metrics_log import MetricsLog
from vbert.vocabulary.tree import Vocabulary, save

FULL = "No space left on device"


def fill(disk: Path) -> Path:
    """A file of all the room that is left."""
    file = disk / "filler"
    with file.open("wb", buffering=0) as out, suppress(OSError):
        while out.write(bytes(4096)):
            pass
    return file


def test_a_worker_whose_file_does_not_fit_says_where(small_disk: Path):
    table = Table(str(small_disk), FEATURES)
    table.create()
    fill(small_disk)
    with pytest.raises(UserError, match=rf"{table.uri}/featurizer=f-1/part-.*\({FULL}.*the disk is full"):
        table.write_file(feature_rows("abc"))


def test_a_commit_that_does_not_fit_leaves_the_last_one(small_disk: Path):
    table = Table(str(small_disk), FEATURES)
    table.create()
    committer = Committer(table, partition="f-1")
    committer.commit([table.write_file(feature_rows("ab"))])
    before = keys_of(table)
    file = table.write_file(feature_rows("cd"))
    filler = fill(small_disk)
    with pytest.raises(UserError, match=rf"features: cannot be committed to \({FULL}.*the disk is full"):
        committer.commit([file])
    assert keys_of(Table(str(small_disk), FEATURES)) == before
    filler.unlink()
    Committer(Table(str(small_disk), FEATURES), partition="f-1").commit([file])
    assert len(keys_of(table)) == len(before) + 6


def _save_vocabulary(folder: Path) -> None:
    save(Vocabulary(featurizer="f-1", centroids=[torch.randn(1, 600, 999)]), str(folder))


def _save_checkpoint(folder: Path) -> None:
    model = VideoBertForPreTraining(from_bert_config(bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS))
    optimizer = torch.optim.AdamW(model.parameters())
    with writing(str(folder)):
        save_checkpoint(
            folder / "new", model, optimizer, tokenizer_json=vocabulary().tokenizer_json, progress={}
        )


def _log_metrics(folder: Path) -> None:
    log = MetricsLog(str(folder), resumed_step=0)
    fill(folder)
    try:
        for step in range(1, 200):
            log.write(step, {f"train/{name}": 1.0 for name in range(9)})
    finally:
        with suppress(OSError):  # TensorBoard's thread ends with it, or finds the disk gone in a later test
            log.close()


WRITERS: dict[str, Callable[[Path], None]] = {
    "vocabulary": _save_vocabulary,
    "checkpoint": _save_checkpoint,
    "answers": lambda folder: write_json(f"{folder}/metrics.json", ["x" * 2_000_000]),
    "metrics": _log_metrics,
}


@pytest.mark.filterwarnings("ignore")  # files that are left open by what could not close them
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_in_one_piece_says_where_it_did_not_fit(small_disk: Path, name: str):
    with pytest.raises(UserError, match=rf"^{small_disk}.*cannot be written \({FULL}.*the disk is full"):
        WRITERS[name](small_disk)


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (errno.EACCES, "Permission denied.*give this user the right to it"),
        (errno.EROFS, "Read-only file system.*name a place that is not read-only"),
        (errno.ENOSPC, f"{FULL}.*free some space"),
        (errno.EDQUOT, "quota exceeded.*free some space"),
    ],
)
def test_a_place_that_refuses_is_found_before_the_work(
    code: int, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Root may write anywhere, so the system's answer is made up where our code asks it."""

    def refuse(self: Any, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), self.path)

    monkeypatch.setattr(LocalFileOpener, "_open", refuse)
    for kind in ("file", "folder"):
        with pytest.raises(UserError, match=fix):
            check_output(str(tmp_path / "new" / "place"), kind=kind)
    with pytest.raises(UserError, match=fix):
        Table(str(tmp_path), FEATURES).write_file(feature_rows("a"))


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path):
    for kind in ("file", "folder"):
        check_output(str(tmp_path / "new" / "place"), kind=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_the_system_refuses_anywhere_is_one_line(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Also as Ray brings it from a worker: within another error, whose text is a traceback."""

    class FromWorker(Exception):
        def __init__(self, cause: Exception) -> None:
            super().__init__("Traceback:\n  File ...")
            self.cause = cause

    def job(_: Any) -> int:
        raise FromWorker(OSError(code, os.strerror(code), "/data/a.mp4"))

    monkeypatch.setattr("sys.argv", ["job"])
    with pytest.raises(SystemExit) as stop:
        run_job(dict[str, int], job)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: /data/a.mp4: cannot be used ({os.strerror(code)}); ")
    assert error.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    def job(_: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("sys.argv", ["job"])
    with pytest.raises(ZeroDivisionError):
        run_job(dict[str, int], job)
