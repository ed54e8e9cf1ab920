"""Which videos may be copies: beside every pair counted by itself."""

import random
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from tests.duplicates.test_agreement import clips, noisy
from vbert.duplicates import signature_store
from vbert.duplicates.clusters import Link, clusters_of
from vbert.duplicates.signature_store import (
    KEYS_A_BAND,
    MAX_CANDIDATES,
    NEIGHBOURS,
    SIGNATURES,
    SignatureStore,
)
from vbert.duplicates.signatures import NUM_KEYS, least_keys, signature_of

Signatures = Mapping[str, Sequence[int] | np.ndarray]


def store_of(signatures: Signatures) -> SignatureStore:
    store = SignatureStore(list(signatures))
    rows = [{"video_id": name, "signature": list(keys)} for name, keys in signatures.items()]
    store.add(pa.Table.from_pylist(rows, schema=SIGNATURES))
    return store


def candidates(signatures: Signatures, new: Collection[str]) -> list[tuple[str, str]]:
    return store_of(signatures).candidates(new)


def test_signatures_bring_copies_together_and_few_others():
    videos = {f"v{seed:03}": clips(seed) for seed in range(60)}
    copies = {f"copy-{seed:03}": noisy(clips(seed)[8:32], seed) for seed in range(60)}
    signatures = {name: signature_of(features) for name, features in (videos | copies).items()}
    assert max(map(len, signatures.values())) <= NUM_KEYS
    pairs = candidates(signatures, new=set(signatures))
    wanted = {(f"copy-{seed:03}", f"v{seed:03}") for seed in range(60)}
    assert len(wanted & set(pairs)) >= 59
    assert len(pairs) < 120, "each pair is to be looked at"


def test_only_pairs_with_a_new_video_are_candidates():
    same = np.arange(5)
    signatures = {"a": same, "b": same, "c": same, "d": same[:1]}
    assert candidates(signatures, new={"c"}) == [("a", "c"), ("b", "c")]
    assert candidates(signatures, new=set()) == []
    many = {f"{number:03}": same for number in range(100)}
    pairs = candidates(many, new=set(many))
    assert len(pairs) <= 100 * NEIGHBOURS
    links = [Link(first=a, second=b, share=1.0, offset_seconds=0.0) for a, b in pairs]
    assert {member.cluster for member in clusters_of(links, dict.fromkeys(many, (3,))).values()} == {"000"}


@pytest.mark.parametrize("keys_a_band", [KEYS_A_BAND, 7])
def test_a_few_videos_are_paired_as_by_counting_what_each_two_share(
    keys_a_band: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(signature_store, "KEYS_A_BAND", keys_a_band)
    chance = random.Random(0)
    names = [f"v{number}" for number in range(NEIGHBOURS)]  # so few that each key pairs all that have it
    signatures = {name: chance.sample(range(40), k=9) for name in names}
    new = set(names[2:5])
    expected = [
        (a, b)
        for a, b in combinations(sorted(names), 2)
        if len(set(signatures[a]) & set(signatures[b])) >= 2 and new & {a, b}
    ]
    assert candidates(signatures, new) == expected
    assert 5 < len(expected) < 18


def test_of_too_many_the_pairs_that_share_most_are_taken():
    # Each old video shares two keys of its own with the new one, and the greatest ids share a third.
    num_old = MAX_CANDIDATES + 9
    signatures = {f"{at:02}": [2 * at, 2 * at + 1] + [100 + at] * (at >= 9) for at in range(num_old)}
    signatures["new"] = [*range(2 * num_old), *range(100, 100 + num_old)]
    found = candidates(signatures, {"new"})
    assert found == [(f"{at:02}", "new") for at in range(9, num_old)]


def test_parts_of_a_video_are_put_together_and_come_back():
    parts = [np.arange(first, first + 100) for first in (0, 50)]
    store = store_of({"a": parts[0], "b": [3], "c": []})
    store.add(pa.Table.from_pylist([{"video_id": "a", "signature": parts[1].tolist()}], schema=SIGNATURES))
    whole = least_keys(np.concatenate(parts)).tolist()
    assert dict(store.signatures(["a", "c"])) == {"a": whole}
    assert len(whole) == NUM_KEYS
    assert dict(store.signatures(["b"])) == {"b": [3]}
