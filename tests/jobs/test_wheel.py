"""The wheel, installed where nothing of this folder is: its command does the work."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.table_rows import rows_of
from tests.videos import Video, write_video

pytestmark = [pytest.mark.slow, pytest.mark.seconds(60)]

ROOT = Path(__file__).parents[2]
SOURCES = ("vbert", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture
def vbert(tmp_path: Path) -> Path:
    """The command of an environment that has the wheel, and the packages of this one without vbert."""
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:  # built from a copy: setuptools leaves files where it builds
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("vbert-*.whl")
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    packages = Path(
        sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    )
    # A folder named in a .pth file is searched, but its own .pth files are not read: none leads back to ROOT.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    python = str(environment / "bin" / "python")
    install = ["install", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    subprocess.run([*pip, "--python", python, *install], check=True, capture_output=True)
    return environment / "bin" / "vbert"


def test_the_command_of_the_wheel_featurizes_a_video(vbert: Path, tmp_path: Path, ray_cluster: str):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["RAY_ADDRESS"] = ray_cluster

    def run(*arguments: object) -> str:
        command = [str(vbert), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "build-documents" in run("--help")
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "a.mp4", Video(num_frames=30))
    assert "featurized            1 (0 in part)" in run(
        "featurize", "--corpus", "videos", "--tables", "tables"
    )
    assert [row["status"] for row in rows_of(tmp_path / "tables")["videos"]] == ["ok"]
    page = "importlib.resources.files('vbert.report').joinpath('static/page.js').is_file()"
    where = f"import importlib.resources, vbert; print({page}, vbert.__file__)"
    python = [str(vbert.with_name("python")), "-c", where]
    found = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(f"True {vbert.parents[1]}/"), "all of it is the wheel's, its page too"
