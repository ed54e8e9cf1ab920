"""The command `vbert`, and what `ray job submit` runs: a sub-command for each module of `vbert.commands`."""

import ast
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from typing import get_type_hints

from vbert.errors import OK, USER_ERROR

# In the order in which they are run.
COMMANDS = (
    *("featurize", "fit_vocabulary", "transcribe", "build_documents", "deduplicate"),
    "compact_tables",
    *("pretrain", "evaluate_zero_shot", "evaluate_retrieval", "evaluate_forecast"),
    *("finetune", "predict", "search", "report", "info", "forget", "drop"),
)


def main() -> None:
    """Run the sub-command that the command line names."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked in ("", "-h", "--help"):
        print(usage())
        raise SystemExit(OK if asked else USER_ERROR)
    if asked == "--version":
        print(f"vbert {version('vbert')}")
        raise SystemExit(OK)
    name = asked.replace("-", "_")
    if name not in COMMANDS:
        near = [typed(other) for other in get_close_matches(name, COMMANDS)]
        hint = f"did you mean {' or '.join(near)}?" if near else "vbert --help lists them"
        print(f"error: {asked}: no such command; {hint}", file=sys.stderr)
        raise SystemExit(USER_ERROR)
    sys.argv = [f"vbert {typed(name)}", *sys.argv[2:]]
    run_command(name)


def run_command(name: str) -> None:
    """Run the job of that name with the options of the command line; ends the process with its status."""
    from vbert.command_line import run_job  # imports what --help can do without

    job = import_module(f"vbert.commands.{name}").main
    run_job(get_type_hints(job)["config"], job)


def usage() -> str:
    """What `vbert --help` prints; a command's line is the first of its module, which is not imported."""
    lines = ["usage: vbert COMMAND [OPTIONS]", "", *_paragraph(__package__ or "vbert"), "", "commands:"]
    lines += [f"  {typed(name):<20}{_first_line(name)}" for name in COMMANDS]
    return "\n".join([*lines, "", "vbert COMMAND --help explains its options."])


def typed(name: str) -> str:
    """A command's name as people type it."""
    return name.replace("_", "-")


def _first_line(name: str) -> str:
    return _docstring("vbert.commands", f"{name}.py").splitlines()[0]


def _paragraph(package: str) -> list[str]:
    return _docstring(package, "__init__.py").split("\n\n")[0].splitlines()


def _docstring(package: str, file: str) -> str:
    return ast.get_docstring(ast.parse(files(package).joinpath(file).read_text())) or ""
