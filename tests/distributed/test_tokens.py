"""A cluster that wants a token, as those of cluster/ do, and a job that has none."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store import free_port
from tests.table_rows import feature_rows
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a cluster, and its token."""
    address, token = f"127.0.0.1:{free_port()}", secrets.token_hex(32)
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    command = [RAY, "start", "--head", "--block", "--num-cpus=1", "--include-dashboard=false"]
    command += [f"--port={address.partition(':')[2]}", "--dashboard-agent-listen-port=0"]
    log = (tmp_path / "head.txt").open("wb")
    head = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        while b"Ray runtime started" not in (tmp_path / "head.txt").read_bytes():
            assert head.poll() is None, (tmp_path / "head.txt").read_text()
        yield address, token
    finally:
        head.terminate()
        head.wait()
        log.close()


@pytest.mark.slow
def test_a_job_without_the_clusters_token_ends_in_a_line(guarded: tuple[str, str], tmp_path: Path):
    address, token = guarded
    table = Table(str(tmp_path / "tables"), FEATURES)
    table.create()
    for name in "ab":
        Committer(table, partition="f-1").commit([table.write_file(feature_rows(name, segments=1))])
    command = [sys.executable, "jobs/compact_tables.py", "--tables", table.root]

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        here = os.environ | {"RAY_ADDRESS": address, "HOME": str(tmp_path)} | environment
        return subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True, check=False)

    refused = run(RAY_NUM_REDIS_GET_RETRIES="2")  # 20 of a second each
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.splitlines()[-1].startswith(
        f"error: RAY_ADDRESS {address}: cannot be joined (Failed to"
    )
    assert refused.stderr.rstrip().endswith(
        "its token (RAY_AUTH_MODE=token and the right token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH)?"
    )
    assert len(table.paths(partition="f-1")) == 2
    let_in = run(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    assert let_in.returncode == 0, let_in.stderr
    assert len(table.paths(partition="f-1")) == 1
