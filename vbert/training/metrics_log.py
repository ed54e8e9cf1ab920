"""Training's metrics over its steps: one JSON line each, and what else they are reported to."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vbert.errors import UserError
from vbert.storage.files import filesystem_of, write_file, writing
from vbert.training.reporters import Reporter, TensorBoard

METRICS = "metrics.jsonl"


class MetricsLog:
    """Writes to a folder or bucket. One process may do so at a time.

    The file of lines is written anew each time (a line every 50 steps of half a million is 5 MB), since
    object stores cannot append, and whole, for those who read it meanwhile; what a run that was cut off has
    logged beyond its last checkpoint is dropped.
    """

    def __init__(
        self, root: str, *, resumed_step: int, report_to: Sequence[type[Reporter]] = (TensorBoard,)
    ) -> None:
        self._uri = f"{root.rstrip('/')}/{METRICS}"
        self._lines = [line for line in read_metrics(root) if line["step"] <= resumed_step]
        self._reporters = [reporter(root, resumed_step=resumed_step) for reporter in report_to]

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a step's metrics, rounded to six digits in the file."""
        rounded = {name: float(f"{value:.6g}") for name, value in metrics.items()}
        self._lines.append({"step": step, **rounded})
        text = "".join(f"{json.dumps(line)}\n" for line in self._lines)
        write_file(self._uri, text.encode())
        with writing(self._uri):
            for reporter in self._reporters:
                reporter.write(step, metrics)

    def close(self) -> None:
        """Close what it reports to."""
        for reporter in self._reporters:
            reporter.close()


def read_metrics(root: str) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; none if there is no such file. UserError for a broken one."""
    filesystem, path = filesystem_of(f"{root.rstrip('/')}/{METRICS}")
    if not filesystem.exists(path):
        return []
    return [
        _read_line(line, f"{root}/{METRICS}: line {number}")
        for number, line in enumerate(filesystem.cat_file(path).decode().splitlines(), start=1)
    ]


def _read_line(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: broken JSON ({error}); remove it") from error
    if not isinstance(found, dict) or "step" not in found:
        raise UserError(f"{where}: has no `step`; remove it")
    return found
