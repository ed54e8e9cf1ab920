"""A job in a process of its own, as a user runs it, which tests may kill."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

JOBS = Path(__file__).parents[1] / "jobs"
LOGS = Path(tempfile.mkdtemp(prefix="vbert-jobs-"))
atexit.register(shutil.rmtree, LOGS, ignore_errors=True)


class Job(subprocess.Popen[str]):
    """A running job, in a process group of its own.

    What it prints goes to a file: a pipe that nobody reads, since the test waits for something else, fills up
    (64 KiB), and then the job waits for its reader for ever.
    """

    def __init__(self, command: list[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = LOGS / f"{len(list(LOGS.iterdir()))}.txt"
        with self._log.open("wb") as log:
            super().__init__(
                command,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def ended(self, timeout: float = 400) -> str:
        """What it printed, once it has ended, however it ended."""
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise AssertionError(f"the job does not end in {timeout} s:\n{self.said()}") from None
        return self.said()


STARTED: list[Job] = []  # by the present test


def start_job(
    name: str, *options: str, folder: Path, address: str, workers_environment: Mapping[str, str] | None = None
) -> Job:
    """Run `jobs/<name>.py` in a folder, on the cluster at an address.

    `workers_environment` reaches the workers as `ray job submit --runtime-env-json` would have it.
    """
    environment = os.environ | {"RAY_ADDRESS": address}
    if workers_environment:
        runtime_env = {"runtime_env": {"env_vars": dict(workers_environment)}}
        environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(runtime_env)
    command = [sys.executable, str(JOBS / f"{name}.py"), *options]
    job = Job(command, folder=folder, environment=environment)
    STARTED.append(job)
    return job


def end_jobs() -> None:
    """Kill what a test that failed has left running."""
    while STARTED:
        job = STARTED.pop()
        if job.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            job.wait()


def finish(job: Job) -> str:
    """What it said, when it has ended well."""
    output = job.ended()
    assert job.returncode == 0, output
    return output
