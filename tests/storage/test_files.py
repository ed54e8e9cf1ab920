"""Small files, whole or not at all."""

from pathlib import Path
from typing import Any

import fsspec
import pytest

from vbert.storage.files import write_file


def test_a_file_is_written_with_its_folder_and_replaced(tmp_path: Path):
    file = tmp_path / "new" / "run" / "metrics.jsonl"
    for data in (b"one", b"two"):
        write_file(str(file), data)
        assert file.read_bytes() == data
    assert list(file.parent.iterdir()) == [file]
    write_file("memory://bucket/run/metrics.jsonl", b"three")
    assert fsspec.filesystem("memory").cat_file("/bucket/run/metrics.jsonl") == b"three"


def test_until_a_file_is_whole_its_readers_see_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "metrics.jsonl"
    write_file(str(file), b"one")
    seen = []

    def replace(part: Path, target: Any) -> Path:
        seen.append((part.read_bytes(), file.read_bytes()))
        return part.rename(target)

    monkeypatch.setattr(Path, "replace", replace)
    write_file(str(file), b"two")
    assert seen == [(b"two", b"one")]
    assert file.read_bytes() == b"two"


def test_a_write_that_is_cut_off_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "metrics.jsonl"
    write_file(str(file), b"one")

    def stopped(part: Path, target: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_file(str(file), b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]
