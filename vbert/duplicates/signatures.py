"""Signatures: a few keys of a video's clips, of which copies share some.

A clip's features are hashed by the signs of random projections (Charikar 2002), BITS at a time: vectors at a
small angle agree in all BITS of some of NUM_TABLES codes. Of a video's codes those of the least hashes are
kept (bottom-k sketch, Cohen & Kaplan 2007): what videos have in common is kept in all of them.
"""

from functools import cache

import numpy as np

BITS = 20  # at a correlation of 0.9 one code in 20 agrees, at 0.2 one in 100,000
NUM_TABLES = 16
NUM_KEYS = 128


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
    """At most NUM_KEYS keys int64 of clips float32 [n, dim] in time order, rising by what they are chosen
    by."""
    if not len(features):
        return np.zeros(0, np.int64)
    points = centered(np.concatenate([features, between(features)]))
    bits = (points @ _projections(features.shape[1]) > 0).reshape(len(points), NUM_TABLES, BITS)
    codes = bits @ (1 << np.arange(BITS))
    tables = np.arange(NUM_TABLES) << BITS
    return least_keys((codes | tables).ravel())


def least_keys(keys: np.ndarray) -> np.ndarray:
    """The NUM_KEYS of least hash, each once: also of the signatures of a video's parts."""
    every = np.unique(keys)
    found: np.ndarray = every[np.argsort(ranks_of(every), kind="stable")[:NUM_KEYS]]
    return found


@cache
def _projections(dim: int) -> np.ndarray:
    """The same for all videos and workers, float32 [dim, NUM_TABLES * BITS]."""
    chance = np.random.default_rng(dim)
    found: np.ndarray = chance.standard_normal((dim, NUM_TABLES * BITS), np.float32)
    return found


def ranks_of(keys: np.ndarray) -> np.ndarray:
    """What keys are chosen by, the least first: uint64, by Fibonacci hashing (Knuth, volume 3, 6.4)."""
    bits = keys.astype(np.uint64)
    found: np.ndarray = (bits ^ (bits >> np.uint64(15))) * np.uint64(0x9E3779B97F4A7C15)
    return found
