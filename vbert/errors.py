"""The two kinds of error that are not bugs: what a user got wrong, and what a video got wrong."""


class UserError(Exception):
    """A wrong path, option or combination. The message is one line: file, value, fix. Jobs exit with 2."""


class VideoError(Exception):
    """A video, or a segment of one, that cannot be used: a row in the ledger, and the job goes on."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)  # both, so that the error survives pickling between workers
        self.stage = stage
        self.reason = " ".join(reason.split())  # one line, whatever a decoder's message holds

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"
