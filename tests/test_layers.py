"""The package is a one-way street: a folder imports from those above it alone, and modules in no circle."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from vbert.console import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vbert"

# What all share, then the stages in the order of the data. A name may import names to its left, never to its
# right.
LAYERS = [
    *("errors", "progress", "storage", "tables"),
    *(
        "corpus",
        "video",
        "text",
        "features",
        "vocabulary",
        "duplicates",
        "documents",
        "model",
        "training",
        "tasks",
    ),
    *("search", "report", "upkeep"),
    *("distributed", "command_line", "commands", "console", "__main__"),
]
MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or p.name != "__init__.py"]


# What a checkpoint is saved with: it imports these of its own folder by `from .name`, and no others of ours.
COPIED = [p for p in MODULES if re.match(r"(configuration|modeling|processing)_", p.name)]


def imported_names(path: Path, *, at_run_time: bool = False) -> set[str]:
    """All that a module imports, at its top or within a function; or without what only type checkers read."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    if at_run_time:
        tree.body = [node for node in tree.body if not is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= (path in COPIED), f"{path}:{node.lineno} relative import"
            module = f"vbert.{path.parent.name}.{node.module}" if node.level else str(node.module)
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def layer_of(name: str) -> str:
    return name.split(".")[0]


def modules_used(path: Path, *, at_run_time: bool = False) -> set[str]:
    """Modules of ours that a module imports."""
    imported = imported_names(path, at_run_time=at_run_time)
    names = {name.removeprefix("vbert.") for name in imported if name.startswith("vbert.")}
    return names & {module_name(other) for other in MODULES}


def test_every_module_has_a_layer() -> None:
    assert {layer_of(module_name(path)) for path in MODULES} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_left(path: Path) -> None:
    mine = layer_of(module_name(path))
    used = {layer_of(name) for name in modules_used(path)} - {mine}
    assert used <= set(LAYERS[: LAYERS.index(mine)])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module_name(path): modules_used(path, at_run_time=True) - {module_name(path)} for path in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_only_distributed_imports_ray_and_only_tables_imports_delta(path: Path) -> None:
    packages = {name.split(".")[0] for name in imported_names(path)}
    assert "ray" not in packages or layer_of(module_name(path)) == "distributed"
    assert "deltalake" not in packages or layer_of(module_name(path)) == "tables"


@pytest.mark.parametrize("path", COPIED, ids=module_name)
def test_what_is_copied_into_checkpoints_imports_only_what_is_copied_with_it(path: Path) -> None:
    """But for the processor, which tries vbert to decode videos, and does without where it is not there."""
    own = {module_name(other) for other in COPIED}
    tried = {"features.featurizer_config", "features.one_video"} if "processing" in path.name else set()
    assert modules_used(path) <= own | tried
    packages = (
        {name.split(".")[0] for name in imported_names(path)} - set(sys.stdlib_module_names) - {"vbert"}
    )
    assert packages <= {"huggingface_hub", "numpy", "safetensors", "torch", "transformers"}


def test_every_folder_says_what_it_is_for() -> None:
    for path in MODULES:
        if path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text())) or ""
            assert len(text.splitlines()) >= 3, path


@pytest.mark.seconds(10)  # a process that imports all jobs
def test_jobs_leave_models_to_their_workers() -> None:
    """Hugging Face's models, and what of torch comes with them, take longer to import than all the rest."""
    loaded = "{'transformers.modeling_utils', 'torch.distributed.fsdp', 'sympy'} & set(sys.modules)"
    imported = f"for name in {COMMANDS}: importlib.import_module(f'vbert.commands.{{name}}')"
    script = f"import importlib, sys\n{imported}\nprint({loaded})"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_workers_that_run_no_model_import_none() -> None:
    """Nor torch: they start in half a second, on every node, and somebody waits for their first rows."""
    workers = "featurize_worker, report_worker, shuffle_windows, write_documents"
    script = f"import sys; from vbert.distributed import {workers}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_fits_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
