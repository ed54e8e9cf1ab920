"""What `make demo` reaches, said in one place: README.md repeats it, the demo prints its own beside it.

Means and standard errors of three seeds of `make ablations` on one machine: 92 clips of 31 held-out videos.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NUM_VIDEOS, NUM_STEPS = 200, 420  # of the demo: other sizes reach something else
NUM_SEEDS = 3
LEAST = 0.03  # three of the clips: the spread of three seeds may be less by luck


@dataclass(frozen=True)
class Expected:
    """A share of right answers: of the seeds the mean and its standard error."""

    mean: float
    standard_error: float

    def range(self) -> tuple[float, float]:
        """Where a single run falls: within two standard deviations, that is of seeds, not of their mean."""
        spread = max(LEAST, 2 * self.standard_error * math.sqrt(NUM_SEEDS))
        return max(0.0, self.mean - spread), min(1.0, self.mean + spread)


EXPECTED = {
    "verb top-1": Expected(0.98, 0.00),
    "object top-1": Expected(0.62, 0.07),
    "object top-5": Expected(0.96, 0.02),
}


def beside(found: Mapping[str, float]) -> Iterator[str]:
    """Each figure of a run with the range, and a word where it is outside."""
    for name, expected in EXPECTED.items():
        low, high = expected.range()
        verdict = "" if low <= found[name] <= high else "   OUTSIDE: see docs/reliability.md"
        yield f"  {name:<13} {found[name]:>4.0%}   README: {low:.0%} to {high:.0%}{verdict}"
