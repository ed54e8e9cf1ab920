"""What the documentation's pages do not say themselves: options as `--help` prints them, the reference.

A hook of mkdocs (mkdocs.yml). `{{ options JOB }}` becomes its options, `{{ api }}` the reference by folder,
`{{ benchmarks }}` what BENCHMARKS.md says.
"""

import ast
import contextlib
import io
import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from vbert.command_line import COLOURS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vbert"
# The public faces of the folders; the rest is theirs alone.
API = {
    "tables": ("schemas", "reading", "delta"),
    "corpus": ("changes", "manifest"),
    "video": ("media", "frame_grid", "decode"),
    "text": ("transcripts", "joint_vocabulary"),
    "features": ("featurizer_config", "featurizer", "backbones"),
    "vocabulary": ("tree",),
    "documents": ("assembly", "sequences", "packing"),
    "model": ("configuration_videobert", "modeling_videobert", "modeling_heads", "processing_videobert"),
    "training": ("optimization", "objective"),
    "tasks": ("pipeline", "base", "annotations"),
    "distributed": ("featurize", "pretrain", "finetune"),
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill a page in."""
    markdown = re.sub(r"\{\{ options (\w+) \}\}", lambda found: options_of(found[1]), markdown)
    return markdown.replace("{{ api }}", reference()).replace("{{ benchmarks }}", benchmarks())


def benchmarks() -> str:
    """BENCHMARKS.md as a part of a page: headings a level lower, pictures as they are named from there."""
    text = (ROOT / "BENCHMARKS.md").read_text().replace("](docs/", "](")
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)


def options_of(job: str) -> str:
    """What `vbert JOB --help` prints, as text, without its boxes."""
    options = get_type_hints(import_module(f"vbert.commands.{job}").main)["config"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(options, args=["--help"], prog=f"vbert {job.replace('_', '-')}")
    lines = [re.sub(r"^│ (.*?) *│$", r"\1", line) for line in COLOURS.sub("", said.getvalue()).splitlines()]
    titles = [re.sub(r"^╭─ (.*?) ─*╮$", r"\1:", line) for line in lines if not line.startswith("╰")]
    return "```text\n" + "\n".join(titles).strip() + "\n```"


def reference() -> str:
    """A section for each folder: what it is for, then its modules."""
    parts = []
    for folder, modules in API.items():
        about = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text()))
        parts += [f"## {folder}", about or ""]
        parts += [f"::: vbert.{folder}.{module}" for module in modules]
    return "\n\n".join(parts)
