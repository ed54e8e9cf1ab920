"""A job in a process of its own, as a user runs it, which tests may kill."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

JOBS = Path(__file__).parents[1] / "jobs"


def start_job(
    name: str, *options: str, folder: Path, address: str, workers_environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Run `jobs/<name>.py` in a folder, on the cluster at an address, in a process group of its own.

    `workers_environment` reaches the workers as `ray job submit --runtime-env-json` would have it.
    """
    environment = os.environ | {"RAY_ADDRESS": address}
    if workers_environment:
        runtime_env = {"runtime_env": {"env_vars": dict(workers_environment)}}
        environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(runtime_env)
    return subprocess.Popen(
        [sys.executable, str(JOBS / f"{name}.py"), *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(job: "subprocess.Popen[str]") -> str:
    """What it said, when it has ended well."""
    output, _ = job.communicate(timeout=400)
    assert job.returncode == 0, output
    return output
