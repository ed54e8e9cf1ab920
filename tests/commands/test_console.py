"""The command `vbert`, and what `import vbert` gives."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import vbert
from tests.cooking_tables import cooking_tables
from vbert.console import COMMANDS, main, typed, usage
from vbert.errors import UserError

ROOT = Path(__file__).parents[2]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of `vbert` with these arguments, in this process."""
    monkeypatch.setattr(sys, "argv", ["vbert", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_there_is_a_command_and_a_file_to_submit_for_each_job():
    commands = {path.stem for path in (ROOT / "vbert" / "commands").glob("[a-z]*.py")}
    assert set(COMMANDS) == commands == {path.stem for path in (ROOT / "jobs").glob("*.py")}


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_lists_the_commands_with_a_line_each(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, asked) == 0
    out = capsys.readouterr().out
    assert out == f"{usage()}\n"
    assert "  fit-vocabulary      Fit a visual vocabulary on a sample of the features table" in out
    for name in COMMANDS:
        (line,) = (line for line in out.splitlines() if line.startswith(f"  {typed(name)} "))
        assert len(line) > 40


def test_no_command_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch) == 2
    assert capsys.readouterr().out == f"{usage()}\n"
    assert run(monkeypatch, "featurise") == 2
    assert capsys.readouterr().err == "error: featurise: no such command; did you mean featurize?\n"
    assert run(monkeypatch, "xyz") == 2
    assert capsys.readouterr().err == "error: xyz: no such command; vbert --help lists them\n"


@pytest.mark.parametrize("name", ["compact-tables", "compact_tables"])
def test_a_command_runs_its_job_with_the_options_that_follow(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert run(monkeypatch, name, "--tables", str(tmp_path)) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: no table there")
    assert run(monkeypatch, name, "--help") == 0
    assert "usage: vbert compact-tables [-h]" in capsys.readouterr().out


def test_what_is_installed_can_be_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("vbert 0.")


def test_to_import_vbert_and_to_list_its_commands_imports_nothing_of_others():
    heavy = "{'numpy', 'pyarrow', 'ray', 'torch', 'transformers', 'vbert.distributed'}"
    script = f"import sys, vbert, vbert.console; vbert.console.usage(); print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


@pytest.mark.seconds(20)  # all of it is imported
def test_a_notebook_finds_its_names_and_folders_hand_on_theirs():
    assert set(vbert.__all__) >= {"FeaturizeConfig", "VideoPipeline", "featurize", "read_documents"}
    folders = [
        vbert,
        *(import_module(f"vbert.{name}") for name in ("storage", "tables", "video", "model", "tasks")),
    ]
    for folder in folders:
        assert folder.__all__ == dir(folder) != []
        assert all(hasattr(folder, name) for name in folder.__all__)
    assert vbert.VideoPipeline is folders[-1].VideoPipeline
    with pytest.raises(AttributeError, match="featurise"):
        vbert.featurise  # noqa: B018


def test_a_notebook_reads_documents(tmp_path: Path):
    tables = str(tmp_path / "tables")
    vocabulary = Path(cooking_tables(tables, num_videos=8)).name
    documents = vbert.read_documents(tables)
    assert documents.num_rows == 8
    assert set(documents["vocabulary"].to_pylist()) == {vocabulary}
    assert vbert.read_documents(tables, vocabulary=vocabulary).num_rows == 8
    assert vbert.read_documents(tables, version=0).num_rows == 0
    with pytest.raises(UserError, match=f"give vocabulary, one of {vocabulary}"):
        vbert.read_documents(tables, vocabulary="other")
    with pytest.raises(UserError, match="no such table"):
        vbert.read_documents(str(tmp_path))
