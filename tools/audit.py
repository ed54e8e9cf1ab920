"""Ask for known vulnerabilities of every version in requirements.lock: `make audit`.

A vulnerability fails. Where no service can be reached, or none knows the packages, one line says so.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
SERVICES = ("osv", "pypi")
NOT_AUDITED = "audit: nothing was audited, since no vulnerability service could be reached"


def verdict(dependencies: Sequence[Mapping[str, Any]]) -> tuple[list[str], bool]:
    """The lines to print of a report's dependencies, and whether one of them is vulnerable.

    A package's index that has no vulnerabilities to tell skips every package: that is no clean report.
    """
    skipped = [one for one in dependencies if "skip_reason" in one]
    if len(skipped) == len(dependencies):
        return [NOT_AUDITED], False
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'none'}"
        for one in dependencies
        for flaw in one.get("vulns", ())
    ]
    counts = f"{len(dependencies) - len(skipped)} packages, {len(found)} known vulnerabilities"
    left_out = f"; {len(skipped)} could not be audited" if skipped else ""
    return [*found, f"audit: {counts}{left_out}"], bool(found)


def ask(service: str) -> list[dict[str, Any]]:
    """What pip-audit reports, a dependency each; [] where the service cannot be reached."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip"),
            *("--require-hashes", "--progress-spinner", "off", "--service", service, "--format", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if not run.stdout:
        return []
    dependencies: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    return dependencies


def main() -> int:
    """1 for a vulnerability, else 0."""
    for service in SERVICES:
        lines, is_vulnerable = verdict(ask(service))
        if lines != [NOT_AUDITED]:
            break
    print("\n".join(lines))
    return int(is_vulnerable)


if __name__ == "__main__":
    raise SystemExit(main())
