"""What every job does around its work: options from a dataclass, errors in one line, an exit status."""

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from vbert.errors import UserError

Config = TypeVar("Config")

OK = 0
SOME_FAILED = 1  # the job went to its end; the ledger says which videos failed
USER_ERROR = 2  # nothing was changed; also what the option parser exits with


def run_job(config_type: type[Config], job: Callable[[Config], int]) -> None:
    """Parse the command line into `config_type`, run `job`, exit with the status it returns.

    The dataclass is the documentation: its docstring and those under its fields make the --help text.
    """
    try:
        status = job(tyro.cli(config_type))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        status = USER_ERROR
    raise SystemExit(status)
