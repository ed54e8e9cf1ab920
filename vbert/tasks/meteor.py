"""METEOR 1.5 (Denkowski and Lavie 2014), by its authors' Java program, which pycocoevalcap carries.

It matches words, stems, synonyms and paraphrases, which takes it seconds to load and a gigabyte of memory.
"""

import atexit
import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vbert.errors import UserError

# As pycocoevalcap runs it.
COMMAND = (
    *("java", "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", "meteor-1.5.jar"),
    *("-", "-", "-stdio", "-l", "en", "-norm"),
)
SEPARATOR = " ||| "


def java_is_there() -> bool:
    """Whether METEOR can run here."""
    return shutil.which("java") is not None


@functools.cache
def running_meteor() -> "Meteor":
    """One for the life of this process."""
    return Meteor()


class Meteor:
    """A running METEOR. What it says of a candidate is kept: resampling asks for it again."""

    def __init__(self) -> None:
        import pycocoevalcap  # an extra

        self._process = subprocess.Popen(
            COMMAND,
            cwd=Path(pycocoevalcap.__path__[0]) / "meteor",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        self._statistics: dict[tuple[str, ...], str] = {}
        atexit.register(self.close)

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.communicate()

    def score(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """METEOR of them all, from 0 to 1; texts are tokens with spaces between them.

        As COCO has it, it is not the mean of the examples' but made from their counts together.
        """
        statistics = [
            self._statistics_of((*theirs, mine)) for mine, theirs in zip(candidates, references, strict=True)
        ]
        self._say(SEPARATOR.join(("EVAL", *statistics)))
        *_, together = (self._answer() for _ in range(len(statistics) + 1))  # one for each, and then of all
        return float(together)

    def _statistics_of(self, texts: tuple[str, ...]) -> str:
        if texts not in self._statistics:
            plain = (text.replace("|||", " ") for text in texts)
            self._say(SEPARATOR.join(("SCORE", *plain)))
            self._statistics[texts] = self._answer()
        return self._statistics[texts]

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _ended() from error

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise _ended()
        return line.strip()


def _ended() -> UserError:
    return UserError("METEOR: java has ended without an answer; free 2 GB of memory, or take it off the PATH")
