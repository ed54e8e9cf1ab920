"""Exit statuses and messages that every job shares."""

from dataclasses import dataclass

import pytest

from vbert.command_line import run_job
from vbert.errors import UserError, VideoError


@dataclass(frozen=True)
class Config:
    """Say how often."""

    times: int = 3
    """How often it is done."""

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UserError(f"--times must be at least 1, got {self.times}")


def exit_status(monkeypatch: pytest.MonkeyPatch, *arguments: str, status: int = 0) -> int:
    monkeypatch.setattr("sys.argv", ["job", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_job(Config, lambda config: status if config.times < 7 else _no_such_file())
    assert isinstance(stop.value.code, int)
    return stop.value.code


def _no_such_file() -> int:
    raise UserError("videos/:\nno such folder")


def test_the_status_is_the_jobs_own(monkeypatch: pytest.MonkeyPatch):
    assert exit_status(monkeypatch, "--times", "5") == 0
    assert exit_status(monkeypatch, "--times", "5", status=1) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--times", "0"], "error: --times must be at least 1, got 0\n"),
        (["--times", "7"], "error: videos/: no such folder\n"),
    ],
)
def test_a_users_error_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert exit_status(monkeypatch, *arguments) == 2
    assert capsys.readouterr().err == message


def test_an_unknown_option_is_status_2(monkeypatch: pytest.MonkeyPatch):
    assert exit_status(monkeypatch, "--time", "5") == 2


def test_help_tells_the_dataclass_and_its_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert exit_status(monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    assert "Say how often." in out
    assert "How often it is done." in out


def test_a_videos_error_survives_pickling_and_stays_one_line():
    import pickle

    error = pickle.loads(pickle.dumps(VideoError("decode", "two\nlines")))
    assert (error.stage, error.reason, str(error)) == ("decode", "two lines", "decode: two lines")


def test_ctrl_c_is_one_line_and_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(_: Config) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["job"])
    with pytest.raises(SystemExit) as stop:
        run_job(Config, interrupted)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted: the same command goes on from what is committed\n"
