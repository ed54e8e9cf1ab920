"""Signatures: a few keys of a video's clips, of which copies share some.

A clip's features are hashed by the signs of random projections (Charikar 2002), BITS at a time: vectors at a
small angle agree in all BITS of some of NUM_TABLES codes. Of a video's codes those of the least hashes are
kept (bottom-k sketch, Cohen & Kaplan 2007): what videos have in common is kept in all of them.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache

import numpy as np

BITS = 20  # at a correlation of 0.9 one code in 20 agrees, at 0.2 one in 100,000
NUM_TABLES = 16
NUM_KEYS = 128
NEIGHBOURS = 8  # of the videos with a key each is compared with so many: enough to chain all copies
MAX_CANDIDATES = 16  # of a video: those that share most keys
MIN_SHARED = 2  # keys; one may be chance


def centered(features: np.ndarray) -> np.ndarray:
    """Vectors float32 [n, dim] with mean 0 and length 1: their products are correlations. Backbones end in
    averages that are mostly positive, so that all cosines are high."""
    apart = features - features.mean(1, keepdims=True)
    found: np.ndarray = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)
    return found


def between(features: np.ndarray) -> np.ndarray:
    """The means of neighbouring clips [n - 1, dim]: about what a clip half a clip later shows. Zeros where
    one of the two is zeros, since it was dropped."""
    is_there: np.ndarray = np.any(features, axis=1, keepdims=True)
    means: np.ndarray = (features[:-1] + features[1:]) / 2 * (is_there[:-1] & is_there[1:])
    return means


def signature_of(features: np.ndarray) -> np.ndarray:
    """At most NUM_KEYS keys uint64 of clips float32 [n, dim] in time order, rising by what they are chosen
    by."""
    if not len(features):
        return np.zeros(0, np.uint64)
    points = centered(np.concatenate([features, between(features)]))
    bits = (points @ _projections(features.shape[1]) > 0).reshape(len(points), NUM_TABLES, BITS)
    codes = bits @ (np.uint64(1) << np.arange(BITS, dtype=np.uint64))
    tables = np.arange(NUM_TABLES, dtype=np.uint64) << np.uint64(BITS)
    return least_keys((codes.astype(np.uint64) | tables).ravel())


def least_keys(keys: np.ndarray) -> np.ndarray:
    """The NUM_KEYS of least hash, each once: also of the signatures of a video's parts."""
    every = np.unique(keys)
    found: np.ndarray = every[np.argsort(_mixed(every), kind="stable")[:NUM_KEYS]]
    return found


@cache
def _projections(dim: int) -> np.ndarray:
    """The same for all videos and workers, float32 [dim, NUM_TABLES * BITS]."""
    chance = np.random.default_rng(dim)
    found: np.ndarray = chance.standard_normal((dim, NUM_TABLES * BITS), np.float32)
    return found


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Fibonacci hashing (Knuth, volume 3, 6.4)."""
    found: np.ndarray = (keys ^ (keys >> np.uint64(15))) * np.uint64(0x9E3779B97F4A7C15)
    return found


def candidates(
    signatures: Mapping[str, Sequence[int] | np.ndarray], new: Collection[str]
) -> list[tuple[str, str]]:
    """Pairs of videos, the lesser id first, that share keys and of which one is new: linear in the videos.

    A key that many videos have pairs each with a few of them, new ones with each other and with old ones.
    """
    names = sorted(signatures)
    places = np.repeat(np.arange(len(names)), [len(signatures[name]) for name in names])
    keys = np.concatenate(
        [np.zeros(0, np.uint64), *(np.asarray(signatures[name], np.uint64) for name in names)]
    )
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    is_new = np.array([name in new for name in names], bool)
    shared: Counter[tuple[int, int]] = Counter()
    for group in np.split(places[order], cuts):
        if len(group) > 1 and is_new[group].any():
            shared.update(_pairs(group.tolist(), is_new))
    return _most_shared(shared, names, is_new)


def _pairs(group: Sequence[int], is_new: np.ndarray) -> list[tuple[int, int]]:
    """Neighbours in a group, old ones before new ones."""
    ordered = sorted(group, key=lambda place: (bool(is_new[place]), place))
    found = []
    for at, place in enumerate(ordered):
        if is_new[place]:
            others = ordered[max(0, at - NEIGHBOURS) : at]
            found += [(min(place, other), max(place, other)) for other in others]
    return found


def _most_shared(
    shared: Counter[tuple[int, int]], names: Sequence[str], is_new: np.ndarray
) -> list[tuple[str, str]]:
    counts = np.zeros(len(names), int)
    found = []
    for (first, second), count in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
        if count < MIN_SHARED:
            break
        mine = [place for place in (first, second) if is_new[place]]
        if any(counts[place] < MAX_CANDIDATES for place in mine):
            counts[mine] += 1
            found.append((names[first], names[second]))
    return sorted(found)
