"""Whether two videos show the same, and from when on: their clips compared along all offsets."""

from dataclasses import dataclass

import numpy as np

from vbert.duplicates.signatures import between, centered

# Of two clips that show the same. Measured with EfficientNet's features: cropped and shifted copies have 0.89
# and more, other videos of the same kitchen 0.75 at most.
MIN_CORRELATION = 0.8
MIN_SHARE = 0.5  # of the shorter video's clips
MIN_CLIPS = 3
ROWS_AT_ONCE = 512  # against all clips of a video of five hours: 50 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How two videos agree at the offset at which they agree most."""

    share: float
    """Of the shorter one's clips that the other shows at that offset, 0 to 1."""
    offset_clips: float
    """When the second begins in the first, in clips, a multiple of a half; negative: before it."""
    num_clips: int
    """How many agree."""

    @property
    def is_copy(self) -> bool:
        """Whether it is enough to call one a copy of the other."""
        return self.share >= MIN_SHARE and self.num_clips >= MIN_CLIPS


def agreement_of(
    first: np.ndarray, second: np.ndarray, *, min_correlation: float = MIN_CORRELATION
) -> Agreement:
    """Compare clips float32 [n, dim] and [m, dim], both in time order and without gaps.

    The first's are compared also half way between two, since a copy that was cut anywhere has clips there.
    """
    halves = np.empty((2 * len(first) - 1, first.shape[1]), np.float32)
    halves[::2], halves[1::2] = first, between(first)
    left, right = centered(halves), centered(second)
    last = 2 * (len(second) - 1)
    # By offset in halves, from -last on: how many clips agree, and how well all of them together.
    counts = np.zeros(len(left) + last, np.int64)
    sums = np.zeros(len(counts))
    for begin in range(0, len(left), ROWS_AT_ONCE):
        correlations = left[begin : begin + ROWS_AT_ONCE] @ right.T
        rows, columns = np.nonzero(correlations >= min_correlation)
        offsets = begin + rows - 2 * columns + last
        counts += np.bincount(offsets, minlength=len(counts))
        sums += np.bincount(offsets, correlations[rows, columns], minlength=len(counts))
    best = int(sums.argmax())
    return Agreement(
        share=int(counts[best]) / min(len(first), len(second)),
        offset_clips=(best - last) / 2,
        num_clips=int(counts[best]),
    )


def on_grid(features: np.ndarray, start_seconds: np.ndarray, *, clip_seconds: float) -> np.ndarray:
    """Clips [n, dim] in time order without gaps: what was dropped is zeros, which agree with nothing."""
    places = np.round(start_seconds / clip_seconds).astype(np.int64)
    found = np.zeros((int(places.max()) + 1, features.shape[1]), np.float32)
    found[places] = features
    return found
