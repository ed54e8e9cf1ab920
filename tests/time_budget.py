"""A limit for each test's time, so that the suite's cannot creep; its own time, and its slowest tests.

A test may take 2 s on a middling machine, a slow one 30, and one that says so, `seconds(60)`, that much. It
has failed after three times as long, since machines are noisy. What a machine makes of that is measured: a
loop of ten million additions takes MIDDLING_SECONDS on a middling one. Where the machine is slower, or busy
with the tests of the other process, the limits grow.
"""

import os
import time
from collections.abc import Iterator

import pytest

MIDDLING_SECONDS = 0.5
UNIT_SECONDS, SLOW_SECONDS = 2.0, 30.0
NOISE = 3.0
NUM_SLOWEST = 10
MAY_SKIP = ("gpu", "machine", "library")
# A tenth of that loop, as a script has it at its top: its variables are global.
_LOOP = compile("total = 0\nfor number in range(1_000_000): total += number", "loop", "exec")


def slowness() -> float:
    """How many times slower than a middling machine this one is now: the best of three short loops."""
    return min(_loop_seconds() for _ in range(3)) * 10 / MIDDLING_SECONDS


def _loop_seconds() -> float:
    start = time.perf_counter()
    exec(_LOOP, {})
    return time.perf_counter() - start


def allowed_seconds(item: pytest.Item) -> float:
    """What a test may take on a middling machine."""
    told = item.get_closest_marker("seconds")
    if told is not None:
        return float(told.args[0])
    return UNIT_SECONDS if item.get_closest_marker("slow") is None else SLOW_SECONDS


class TimeBudget:
    """Measures the machine before the first test, and again after one that took long: it may have changed."""

    def __init__(self) -> None:
        self._slowness = slowness()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Fail a test that took longer than it may."""
        start = time.perf_counter()
        result = yield
        seconds, allowed = time.perf_counter() - start, allowed_seconds(item)
        if seconds > NOISE * allowed * self._slowness:
            self._slowness = max(self._slowness, slowness())
            limit = NOISE * allowed * self._slowness
            if seconds > limit:
                pytest.fail(
                    f"took {seconds:.1f} s, of {limit:.1f} s: {NOISE:.0f} times {allowed:.0f} s, on a "
                    f"machine {self._slowness:.1f} times slower than a middling one; mark it seconds(N)",
                    pytrace=False,
                )
        return result


class Skips:
    """Where everything is there that tests need (`--no-skips`), one that is skipped has failed: but for want
    of a GPU, or of what else a machine has or has not; and but for a library's own tests, which are written
    for all its models and skip what one of them has not."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield
        if (
            report.skipped
            and not hasattr(report, "wasxfail")
            and not any(map(item.get_closest_marker, MAY_SKIP))
        ):
            report.outcome = "failed"
            report.longrepr = f"skipped with --no-skips: {report.longrepr}"
        return report


class Summary:
    """The suite's time and its slowest tests, as its last lines."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        reports = [r for found in terminalreporter.stats.values() for r in found if hasattr(r, "duration")]
        seconds: dict[str, float] = {}
        for report in reports:
            seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration
        slowest = sorted(seconds.items(), key=lambda pair: -pair[1])[:NUM_SLOWEST]
        terminalreporter.section(f"the {len(slowest)} slowest tests, with their fixtures")
        for name, spent in slowest:
            terminalreporter.line(f"{spent:7.1f} s  {name.partition('@')[0]}")
        total = time.monotonic() - self._start
        terminalreporter.line(
            f"tests took {total:.0f} s on a machine {slowness():.1f} times slower than a middling one"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skips` is CI's."""
    parser.addoption(
        "--no-skips",
        action="store_true",
        help=f"a test that is skipped fails, unless it is marked {', '.join(MAY_SKIP)}",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Limits are kept where tests run: in each process of pytest-xdist, or in the only one."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not config.getoption("numprocesses", None) or is_worker:
        config.pluginmanager.register(TimeBudget())
        if config.getoption("--no-skips"):
            config.pluginmanager.register(Skips())
    if not is_worker:
        config.pluginmanager.register(Summary())
