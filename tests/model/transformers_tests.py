"""transformers' own tests of its models, from the source distribution of the installed version.

Wheels have no tests. The source distribution is fetched once through pip and what is wanted of it kept in the
user's cache.
"""

import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

CACHE = Path.home() / ".cache" / "vbert-tests"
PACKAGE = "transformers_tests"
MODULE = "test_modeling_common"
NUM_TRIES = 3
# Mixins that the module imports and the source distribution leaves out. A generative model's tests must name
# the second among its bases.
LEFT_OUT = {"exporters.test_export": "ExportTesterMixin", "generation.test_utils": "GenerationTesterMixin"}


def fetched() -> Path:
    """The folder of the tests. CalledProcessError with pip's words where they cannot be had."""
    folder = CACHE / f"transformers-{version('transformers')}"
    if (folder / f"{MODULE}.py").is_file():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        archive = _source_distribution(Path(name))
        whole = Path(name) / "tests"
        whole.mkdir()
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = Path(member.name).parts
                if len(parts) == 3 and parts[1] == "tests" and parts[2].endswith(".py"):
                    found = tar.extractfile(member)
                    assert found is not None, member.name
                    (whole / parts[2]).write_bytes(found.read())
        folder.mkdir(exist_ok=True)
        for file in sorted(
            whole.iterdir()
        ):  # MODULE, which says that all are there, comes behind its helpers
            if file.stem != MODULE:
                file.replace(folder / file.name)
        (whole / f"{MODULE}.py").replace(folder / f"{MODULE}.py")
    return folder


def _source_distribution(folder: Path) -> Path:
    """As pip downloads it; without an isolated build, whose requirements it would fetch, too."""
    asked = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "download", *asked, "--dest", str(folder)]
    command.append(f"transformers=={version('transformers')}")
    for left in reversed(range(NUM_TRIES)):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            break
        if not left:
            run.check_returncode()
    (archive,) = folder.glob("transformers-*.tar.gz")
    return archive


def modeling_common() -> Any:
    """transformers' tests/test_modeling_common.py."""
    name = f"{PACKAGE}.{MODULE}"
    if name not in sys.modules:
        folder = fetched()
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
        for module, mixin in LEFT_OUT.items():
            empty = types.ModuleType(f"{PACKAGE}.{module}")
            setattr(empty, mixin, type(mixin, (), {}))
            parent = types.ModuleType(f"{PACKAGE}.{module.split('.')[0]}")
            sys.modules |= {parent.__name__: parent, empty.__name__: empty}
        spec = importlib.util.spec_from_file_location(name, folder / f"{MODULE}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_ = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module_)
    return sys.modules[name]
