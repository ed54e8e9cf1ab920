"""What the documentation's pages do not say themselves: options as `--help` prints them, the reference.

A hook of mkdocs (mkdocs.yml). `{{ options JOB }}` becomes its options, `{{ api }}` the reference by folder.
"""

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import tyro

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
    "model": ("configuration_videobert", "modeling_videobert", "modeling_heads"),
    "training": ("optimization", "objective"),
    "tasks": ("pipeline", "base", "annotations"),
    "distributed": ("featurize", "pretrain", "finetune"),
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill a page in."""
    markdown = re.sub(r"\{\{ options (\w+) \}\}", lambda found: options_of(found[1]), markdown)
    return markdown.replace("{{ api }}", reference())


def on_page_content(html: str, **_: Any) -> str:
    """BENCHMARKS.md, a part of a page here, names its pictures from the repository's root."""
    return html.replace('src="docs/', 'src="')


def options_of(job: str) -> str:
    """What `vbert JOB --help` prints, as text."""
    main = import_module(f"vbert.commands.{job}").main
    parser = tyro.extras.get_parser(get_type_hints(main)["config"], prog=f"vbert {job.replace('_', '-')}")
    text = re.sub(r"\x1b\[[0-9;]*m", "", parser.format_help())
    lines = [line.strip("│ ").rstrip() if line.startswith("│") else line for line in text.splitlines()]
    return "```text\n" + "\n".join(line for line in lines if not re.match(r"[╭╰]─*[╮╯]?$", line)) + "\n```"


def reference() -> str:
    """A section for each folder: what it is for, then its modules."""
    parts = []
    for folder, modules in API.items():
        about = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text()))
        parts += [f"## {folder}", about or ""]
        parts += [f"::: vbert.{folder}.{module}" for module in modules]
    return "\n\n".join(parts)
