"""Progress and summaries: what a person reads."""

import io

import pytest

from vbert.progress import Progress, duration_text, print_summary


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (90.4, "1:30"), (3725, "1:02:05")]
)
def test_durations_read_like_a_clock(seconds: float, text: str):
    assert duration_text(seconds) == text


def test_the_estimate_leaves_out_the_time_before_the_first_unit(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress("featurize", total=50, unit="segments", stream=io.StringIO())
    now = 130.0  # 30 s of starting workers
    progress.advance(10)
    now = 140.0
    progress.advance(20)  # 20 in 10 s: the last 20 take 10 s
    assert progress.line(now) == "featurize: 30/50 segments (60%), 2.0/s, 0:10 left"


def test_a_log_gets_a_line_every_ten_seconds_and_a_terminal_one_that_is_rewritten(
    monkeypatch: pytest.MonkeyPatch,
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    log, terminal = io.StringIO(), Terminal()
    to_log = Progress("plan", total=40, unit="videos", stream=log)
    to_terminal = Progress("plan", total=40, unit="videos", stream=terminal)
    for second in range(1, 26):
        now = float(second)
        to_log.advance(1)
        to_terminal.advance(1, note="0 failed")
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == [
        "plan: 10/40 videos (25%)",
        "plan: 20/40 videos (50%)",
    ]
    assert terminal.getvalue().count("\r") == 25
    assert "\n" not in terminal.getvalue()


def test_a_summary_lines_its_values_up(capsys: pytest.CaptureFixture[str]):
    print_summary("featurize", {"videos": 12345, "where": "tables/"})
    assert capsys.readouterr().out == "\nfeaturize\n  videos  12,345\n  where   tables/\n"
