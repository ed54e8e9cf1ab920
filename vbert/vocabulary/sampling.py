"""A seeded sample of clips that is the same in whatever order, and by however many workers, they are seen.

Every clip has a priority, a hash of the seed, its video and its start; the sample is the clips of the lowest
priorities. It is a reservoir without a state: samples of parts merge into the sample of the whole.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def priorities(video_ids: Sequence[str], start_seconds: np.ndarray, *, seed: int) -> np.ndarray:
    """Uint64 [N], uniform: one for each clip, named by its video's id and its start (float64 [N])."""
    assert len(video_ids) == len(start_seconds), (len(video_ids), len(start_seconds))
    names, rows = np.unique(np.asarray(video_ids, dtype=object).astype(str), return_inverse=True)
    hashes = np.array([_hash_of(name, seed) for name in names], np.uint64)
    return _mix(hashes[rows] ^ _mix(start_seconds.astype(np.float64).view(np.uint64)))


def threshold_of(lowest: Sequence[np.ndarray], *, size: int) -> int:
    """The priority that `size` clips are at or below, given the `size` lowest (or all) of each part."""
    every = np.concatenate([np.zeros(0, np.uint64), *lowest])
    if len(every) < size:
        return int(np.iinfo(np.uint64).max)
    return int(np.partition(every, size - 1)[size - 1])


def _hash_of(name: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(bits: np.ndarray) -> np.ndarray:
    """splitmix64's finalizer (Steele, Lea & Flood 2014): every bit of the result hangs on every bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed
