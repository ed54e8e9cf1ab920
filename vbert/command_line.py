"""What every job does around its work: options from a dataclass, errors in one line, an exit status."""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import tyro

from vbert.errors import INTERRUPTED, USER_ERROR, UserError
from vbert.storage.files import FIXES, refusal

Config = TypeVar("Config")


COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run_job(config_type: type[Config], job: Callable[[Config], int]) -> None:
    """Parse the command line into `config_type`, run `job`, exit with the status it returns.

    The dataclass is the documentation: its docstring and those under its fields make the --help text.
    """
    try:
        status = job(_options(config_type))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from what is committed", file=sys.stderr)
        status = INTERRUPTED
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"error: {' '.join(str(mistake).split())}", file=sys.stderr)
        status = USER_ERROR
    raise SystemExit(status)


def _options(config_type: type[Config]) -> Config:
    """The parser's box about a wrong option becomes a line: what stands above its first rule."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(config_type)
    except SystemExit as stop:
        if stop.code != USER_ERROR:
            raise
        lines = [line.strip("│ ") for line in COLOURS.sub("", said.getvalue()).splitlines()]
        ends = [at for at, line in enumerate(lines) if at and line.startswith(("─", "╰"))]
        text = " ".join(lines[1 : ends[0]] if ends else lines)
        raise UserError(f"{text.rstrip('.')}; see --help") from None


def _mistake(error: Exception) -> UserError | None:
    """What a user can mend: said by us, here or on a worker, or by the operating system about a file."""
    found = None
    for part in _causes(error):
        if isinstance(part, UserError):
            # The innermost is our own, where Ray's copy of it holds a traceback; Ray adds lines to both.
            found = part if part is error else UserError(str(part).partition("\n")[0])
        elif found is None and isinstance(part, OSError) and part.errno in FIXES and part.filename:
            found = refusal(str(part.filename), part, cannot="be used")
    return found


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it; of a worker's error Ray keeps it in `cause` or `worker_failures`."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        part = pending.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        workers = getattr(part, "worker_failures", {}).values()
        led = [getattr(part, "cause", None), part.__cause__, *workers]
        pending += [cause for cause in led if isinstance(cause, BaseException)]
