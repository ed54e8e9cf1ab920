"""README and docs/: their commands are commands, their links lead somewhere, their picture is of the code."""

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import tyro

from demo import grounded
from demo.expected import EXPECTED
from tools.draw_rooms import PICTURE, draw
from vbert.console import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "BENCHMARKS.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FILLED = {"<id>": "0123456789abcdef", "…": "x"}


def blocks(language: str) -> list[Any]:
    """The fenced blocks of all pages, in a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, text in enumerate(fence.findall(page.read_text()))
    ]


def commands(text: str) -> list[list[str]]:
    """The jobs that a block runs: their names and options."""
    for shown, filled in FILLED.items():
        text = text.replace(shown, filled)
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        scripts = [at for at, word in enumerate(words) if re.fullmatch(r"jobs/\w+\.py", word)]
        if words[:1] == ["vbert"] and not words[1].startswith("-"):
            found.append([words[1].replace("-", "_"), *words[2:]])
        elif scripts:
            found.append([Path(words[scripts[0]]).stem, *words[scripts[0] + 1 :]])
    return found


@pytest.mark.seconds(10)  # the jobs are imported
@pytest.mark.parametrize("text", blocks("sh"))
def test_every_command_has_the_options_that_its_job_takes(text: str):
    for name, *arguments in commands(text):
        assert name in COMMANDS
        options = get_type_hints(import_module(f"vbert.commands.{name}").main)["config"]
        assert isinstance(tyro.cli(options, args=arguments), options)


def test_the_commands_of_the_pages_are_found():
    every = [name for block in blocks("sh") for name, *_ in commands(block.values[0])]
    assert len(every) > 25
    assert set(every) >= set(COMMANDS) - {"transcribe"}


@pytest.mark.parametrize("text", blocks("sh"))
def test_make_has_the_targets_that_are_named(text: str):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", text, re.MULTILINE)) <= targets


@pytest.mark.seconds(10)
@pytest.mark.parametrize("text", blocks("python"))
def test_every_piece_of_python_names_what_there_is(text: str):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "vbert":
            module = import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", without_code(target), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(slug, headings), link


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """As GitHub and the site name it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_the_readme_is_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160


@pytest.mark.seconds(10)
def test_every_command_of_the_grounded_demo_has_the_options_that_its_job_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines: list[str] = []

    def run(*words: object) -> None:
        lines.append(shlex.join(map(str, words)))
        if "jobs/fit_vocabulary.py" in words:
            (tmp_path / "tables" / "vocabularies" / "0123456789abcdef").mkdir(parents=True)

    monkeypatch.setattr(grounded, "run", run)
    grounded.prepare(tmp_path, grounded.TRIAL)
    grounded.learn(tmp_path, grounded.TRIAL, seed=1)
    found = [command for line in lines for command in commands(line)]
    assert {name for name, *_ in found} == {
        *("featurize", "fit_vocabulary", "build_documents", "pretrain", "evaluate_zero_shot"),
        *("evaluate_forecast", "finetune", "predict"),
    }
    for name, *arguments in found:
        options = get_type_hints(import_module(f"vbert.commands.{name}").main)["config"]
        assert isinstance(tyro.cli(options, args=arguments), options)


def test_the_readme_says_what_the_demo_compares_itself_with():
    section = (ROOT / "README.md").read_text().split("## What it has been seen to do")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("|")]
    cells = {first.split("(")[0].strip(): [cell.strip() for cell in others] for first, *others in rows}
    assert dict(zip(cells[""], cells["**with the video**"], strict=True)) == {
        name: f"{expected.mean:.0%} ± {100 * expected.standard_error:.0f}".replace("%", " %")
        for name, expected in EXPECTED.items()
    }
    assert dict(zip(cells[""], cells["one run"], strict=True)) == {
        name: "{:.0f} to {:.0f} %".format(*(100 * end for end in expected.range()))
        for name, expected in EXPECTED.items()
    }


def test_the_picture_of_the_rooms_is_of_the_code_as_it_is():
    assert PICTURE.read_text() == draw(), "python -m tools.draw_rooms"


def test_the_quick_start_is_what_the_demo_runs():
    """Command by command, though with other options."""
    section = (ROOT / "README.md").read_text().split("## Your own videos")[1].split("In Python:")[0]
    demo = (ROOT / "demo" / "run.py").read_text()
    named = commands(section.replace("```sh", "").replace("```", ""))
    assert len(named) > 4
    for name, *_ in named:
        assert f"jobs/{name}.py" in demo
