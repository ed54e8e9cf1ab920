"""The two kinds of error that are not bugs: what a user got wrong, and what a video got wrong."""

# The exit statuses of all jobs.
OK = 0
SOME_FAILED = 1  # the job went to its end; the ledger says which videos failed
USER_ERROR = 2  # nothing was changed, or a disk filled up: tables are as their last commit left them
INTERRUPTED = 130  # by Ctrl-C, as shells have it: 128 and the signal's number


class UserError(Exception):
    """A wrong path, option or combination. The message is one line: file, value, fix. Jobs exit with 2."""


def require_at_least(options: object, least: float, *names: str) -> None:
    """UserError for the first of a job's options, by their names there, that is below `least` or not a
    number; None is an option that was left out."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least:g}, got {value}")


class VideoError(Exception):
    """A video, or a segment of one, that cannot be used: a row in the ledger, and the job goes on."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)  # both, so that the error survives pickling between workers
        self.stage = stage
        self.reason = " ".join(reason.split())  # one line, whatever a decoder's message holds

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"


def one_line(error: Exception) -> str:
    """The first 200 characters of what an error says, without its line breaks."""
    return " ".join(str(error).split())[:200]
