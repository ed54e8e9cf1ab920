"""The visual vocabulary: a tree of k-means, its tokens, its artefact."""

import json
import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, mean_squared_error

from vbert.errors import UserError
from vbert.vocabulary import tree as module
from vbert.vocabulary.sampling import priorities, threshold_of
from vbert.vocabulary.tree import (
    Sample,
    Vocabulary,
    VocabularyConfig,
    fit_vocabulary,
    load,
    merge_samples,
    save,
    take_sample,
)

FEATURIZER = "s3d-0123abcd"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The calls are short: threads would wait for each other."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def sample_of(features: np.ndarray) -> Sample:
    count = len(features)
    return Sample(
        features=features.astype(np.float32),
        video_ids=[f"v{row % 7}" for row in range(count)],
        start_seconds=np.arange(count) * 1.5,
    )


def clips_of(numbers: list[int]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Features [N, 2], video ids and starts of clips that are named by a number."""
    clips = np.array(numbers, np.int64)
    starts = (clips % 5) * 1.5
    names = [f"v{number}" for number in (clips // 5).tolist()]
    return np.stack([clips, -clips], axis=1).astype(np.float32).reshape(-1, 2), names, starts


def sampled(numbers: list[int], *, size: int) -> Sample:
    return take_sample(*clips_of(numbers), seed=6, size=size)


def content(sample: Sample) -> tuple[list[list[float]], list[str], list[float]]:
    return sample.features.tolist(), list(sample.video_ids), sample.start_seconds.tolist()


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """900 points in 9 groups: three groups of groups of three, far from each other."""
    far = np.array([[1000.0 * group, 100.0 * part, 0, 0, 0] for group, part in product(range(3), range(3))])
    values, truth = make_blobs(n_samples=[100] * 9, centers=far, cluster_std=2.0, random_state=1)
    return values.astype(np.float32), truth


@pytest.fixture(scope="module")
def vocabulary(blobs: tuple[np.ndarray, np.ndarray]) -> Vocabulary:
    config = VocabularyConfig(branching=3, depth=2, seed=4)
    return fit_vocabulary(sample_of(blobs[0]), config=config, featurizer=FEATURIZER)


NUMBERS = st.lists(st.integers(0, 40), max_size=20)


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(1, 25))
def test_samples_of_parts_merge_in_any_order_into_the_sample_of_the_whole(
    first: list[int], second: list[int], third: list[int], size: int
):
    def merge(*samples: Sample) -> Sample:
        return merge_samples(samples, seed=6, size=size)

    a, b, c = (sampled(part, size=size) for part in (first, second, third))
    whole = content(sampled(first + second + third, size=size))
    assert content(merge(a, b, c)) == whole
    assert content(merge(merge(a, b), c)) == content(merge(a, merge(b, c))) == whole
    assert content(merge(c, b, a)) == whole
    assert content(merge(a, a)) == content(a)


def test_a_sample_is_the_clips_up_to_the_threshold_lowest_priority_first():
    features, names, starts = clips_of(list(range(90)))
    sample = take_sample(features, names, starts, seed=6, size=31)
    ranks = priorities(names, starts, seed=6)
    kept = np.flatnonzero(ranks <= np.uint64(threshold_of([ranks[:50], ranks[50:]], size=31)))
    expected = kept[np.argsort(ranks[kept])]
    assert sample.features[:, 0].tolist() == expected.tolist()
    assert sample.video_ids == [names[row] for row in expected]
    np.testing.assert_array_equal(sample.start_seconds, starts[expected])


def test_an_empty_share_of_the_table_adds_nothing():
    nothing = Sample(features=np.zeros((0, 0), np.float32), video_ids=[], start_seconds=np.zeros(0))
    some = sampled([3, 8], size=2)
    assert content(merge_samples([nothing, some], seed=6, size=2)) == content(some)
    assert len(merge_samples([nothing, nothing], seed=6, size=2).features) == 0


def test_a_fit_does_not_hang_on_the_order_in_which_clips_were_seen():
    numbers = list(range(60))
    config = VocabularyConfig(branching=3, depth=2)
    backwards = merge_samples(
        [sampled(numbers[33:], size=50), sampled(numbers[:33], size=50)], seed=6, size=50
    )
    first, second = (
        fit_vocabulary(sample, config=config, featurizer=FEATURIZER)
        for sample in (sampled(numbers, size=50), backwards)
    )
    assert (first.id, first.quality, first.exemplars) == (second.id, second.quality, second.exemplars)


def test_groups_of_groups_are_found(vocabulary: Vocabulary, blobs: tuple[np.ndarray, np.ndarray]):
    tokens = vocabulary.assign(blobs[0])
    assert tokens.dtype == np.int32
    assert adjusted_rand_score(blobs[1], tokens) == 1.0
    # The first digit of a token is its group of groups.
    assert adjusted_rand_score(blobs[1] // 3, tokens // 3) == 1.0


def test_a_token_is_the_path_of_nearest_children(vocabulary: Vocabulary):
    features = np.random.default_rng(8).uniform(-500, 3000, (211, 5)).astype(np.float32)
    first, second = (level.double().numpy() for level in vocabulary.centroids)
    expected = []
    for feature in features.astype(np.float64):
        root = int(((first[0] - feature) ** 2).sum(1).argmin())
        leaf = int(((second[root] - feature) ** 2).sum(1).argmin())
        expected.append(3 * root + leaf)
    np.testing.assert_array_equal(vocabulary.assign(features), expected)


def test_a_path_never_enters_a_missing_child():
    random = np.random.default_rng(4)
    levels = [random.standard_normal((3**level, 3, 7)).astype(np.float32) for level in range(3)]
    levels[1][2, 1] = levels[2][4, 2] = levels[2][4, 1] = np.nan  # a leaf's brothers, and an inner node
    features = random.standard_normal((313, 7)).astype(np.float32)
    expected = []
    for feature in features:
        node = 0
        for centroids in levels:
            node = 3 * node + int(np.nanargmin(((centroids[node].astype(np.float64) - feature) ** 2).sum(1)))
        expected.append(node)
    tree = Vocabulary(featurizer=FEATURIZER, centroids=[torch.from_numpy(level) for level in levels])
    np.testing.assert_array_equal(tree.assign(features), expected)
    assert {13, 14} | set(range(21, 24)) & set(expected) == {13, 14}
    assert len(set(expected)) > 15


def test_a_clips_token_does_not_hang_on_its_neighbours(
    vocabulary: Vocabulary, blobs: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    whole = vocabulary.assign(blobs[0])
    monkeypatch.setattr(module, "CLIPS_AT_ONCE", 37)
    alone = np.concatenate([vocabulary.assign(part) for part in np.array_split(blobs[0], [1, 3, 400, 401])])
    np.testing.assert_array_equal(whole, alone)
    assert vocabulary.assign(np.zeros((0, 5), np.float32)).tolist() == []


def test_features_as_arrow_gives_them_read_only_are_taken(
    vocabulary: Vocabulary, blobs: tuple[np.ndarray, np.ndarray]
):
    frozen = blobs[0].copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(vocabulary.assign(frozen), vocabulary.assign(blobs[0]))
    config = VocabularyConfig(branching=3, depth=2, seed=4)
    assert fit_vocabulary(sample_of(frozen), config=config, featurizer=FEATURIZER).id == vocabulary.id


def test_each_level_is_logged_when_it_is_fitted(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="vbert.vocabulary.tree")
    config = VocabularyConfig(branching=2, depth=3)
    fit_vocabulary(sample_of(np.arange(40).reshape(20, 2)), config=config, featurizer=FEATURIZER)
    starts = [record.getMessage().rsplit(" in ", 1)[0] for record in caplog.records]
    assert starts == ["level 1 of 3: 1 nodes", "level 2 of 3: 2 nodes", "level 3 of 3: 4 nodes"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_vocabulary_twice(blobs: tuple[np.ndarray, np.ndarray]):
    config = VocabularyConfig(branching=3, depth=2)
    first, second = (
        fit_vocabulary(sample_of(blobs[0]), config=config, featurizer=FEATURIZER, device="cuda")
        for _ in range(2)
    )
    assert first.id == second.id
    assert adjusted_rand_score(blobs[1], first.assign(blobs[0])) == 1.0


def test_its_error_is_that_of_scikit_learns_k_means_at_each_node():
    random = np.random.default_rng(7)
    values = random.standard_normal((40, 19))[random.integers(0, 40, 1200)] + random.normal(
        0, 0.3, (1200, 19)
    )

    def ours(seed: int) -> float:
        config = VocabularyConfig(branching=4, depth=2, seed=seed)
        quality = fit_vocabulary(sample_of(values), config=config, featurizer=FEATURIZER).quality
        assert quality is not None
        return quality.quantization_error

    def theirs(seed: int) -> float:
        nodes = KMeans(4, n_init=1, random_state=seed).fit_predict(values)
        parts = [KMeans(4, n_init=1, random_state=seed).fit(values[nodes == node]) for node in range(4)]
        return float(sum(part.inertia_ for part in parts)) / len(values)

    # One draw varies by 20 %; the medians of three groups of seven draws differed by 0 to 2 %.
    assert np.median([ours(seed) for seed in range(7)]) < 1.05 * np.median(
        [theirs(seed) for seed in range(7)]
    )


def test_its_error_is_close_to_flat_k_means_with_as_many_leaves():
    values = np.random.default_rng(2).standard_normal((1500, 8)).astype(np.float32)
    config = VocabularyConfig(branching=4, depth=2)
    tree = fit_vocabulary(sample_of(values), config=config, featurizer=FEATURIZER)
    flat = KMeans(16, n_init=3, random_state=0).fit(values).inertia_ / len(values)
    assert tree.quality is not None
    assert flat < tree.quality.quantization_error < 1.1 * flat


def test_quality_is_what_its_words_say(vocabulary: Vocabulary, blobs: tuple[np.ndarray, np.ndarray]):
    values, tokens = blobs[0], vocabulary.assign(blobs[0])
    centers = np.stack([values[tokens == token].mean(0) for token in range(9)])
    quality = vocabulary.quality
    assert quality is not None
    error = 5 * mean_squared_error(values, centers[tokens])  # sklearn averages over the five dimensions
    assert quality.quantization_error == pytest.approx(error, rel=1e-3)
    assert quality.unexplained_variance == pytest.approx(error / values.var(0).sum(), rel=1e-3)
    assert (quality.num_clips, quality.num_used_leaves, quality.num_empty_leaves) == (900, 9, 0)
    assert quality.entropy_bits == pytest.approx(np.log2(9))
    assert quality.entropy_share == pytest.approx(1.0)
    assert quality.largest_leaf_share == pytest.approx(1 / 9)


def test_exemplars_are_the_nearest_clips_of_each_token(
    vocabulary: Vocabulary, blobs: tuple[np.ndarray, np.ndarray]
):
    values, tokens = blobs[0], vocabulary.assign(blobs[0])
    for token in range(9):
        distances = np.linalg.norm(values - vocabulary.leaf_centroids(torch.tensor(token)).numpy(), axis=1)
        distances[tokens != token] = np.inf
        nearest = np.argsort(distances)[:3]
        found = vocabulary.exemplars[token]
        assert [clip.start_seconds for clip in found] == (nearest * 1.5).tolist()
        assert [clip.video_id for clip in found] == [f"v{row % 7}" for row in nearest]
        np.testing.assert_allclose([clip.distance for clip in found], distances[nearest], rtol=1e-3)


@pytest.mark.parametrize("distinct", [1, 2, 5])
def test_few_distinct_clips_leave_leaves_unused_but_keep_the_id_space(distinct: int):
    values = np.repeat(np.arange(distinct, dtype=np.float32)[:, None] * [1, 2, 3], 6, axis=0)
    config = VocabularyConfig(branching=4, depth=3)
    tree = fit_vocabulary(sample_of(values), config=config, featurizer=FEATURIZER)
    assert tree.num_leaves == 64
    tokens = tree.assign(values)
    assert len(np.unique(tokens)) == distinct
    assert tree.quality is not None
    assert (tree.quality.num_empty_leaves, tree.quality.quantization_error) == (64 - distinct, 0.0)
    elsewhere = tree.assign(np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32) * 9)
    assert set(elsewhere.tolist()) <= set(tokens.tolist()), "a missing child is never assigned"


def test_the_default_is_the_papers_20_736_words():
    config = VocabularyConfig()
    assert config.branching**config.depth == 20_736


def test_saved_and_loaded_it_gives_the_same_tokens(vocabulary: Vocabulary, tmp_path: Path):
    uri = save(vocabulary, str(tmp_path))
    assert save(vocabulary, str(tmp_path)) == uri == f"{tmp_path}/{vocabulary.id}"
    again = load(uri)
    values = np.random.default_rng(1).uniform(0, 3000, (50, 5)).astype(np.float32)
    np.testing.assert_array_equal(again.assign(values), vocabulary.assign(values))
    assert (again.id, again.featurizer, again.quality) == (vocabulary.id, FEATURIZER, vocabulary.quality)
    assert again.config == VocabularyConfig(branching=3, depth=2, seed=4)
    assert again.exemplars == vocabulary.exemplars


def test_a_store_is_as_good_as_a_folder(vocabulary: Vocabulary):
    uri = save(vocabulary, "memory://vocabularies/")
    assert uri == f"memory://vocabularies/{vocabulary.id}"
    assert load(uri).id == load(f"{uri}/").id == vocabulary.id


def test_its_id_is_its_content(blobs: tuple[np.ndarray, np.ndarray], vocabulary: Vocabulary):
    config = VocabularyConfig(branching=3, depth=2, seed=4)
    assert fit_vocabulary(sample_of(blobs[0]), config=config, featurizer=FEATURIZER).id == vocabulary.id
    assert fit_vocabulary(sample_of(blobs[0]), config=config, featurizer="s3d-other").id != vocabulary.id


def test_what_is_missing_half_written_or_tampered_with_is_one_clear_line(
    vocabulary: Vocabulary, tmp_path: Path
):
    with pytest.raises(UserError, match="no vocabulary there; give the folder that fit_vocabulary printed"):
        load(str(tmp_path / "none"))
    folder = Path(save(vocabulary, str(tmp_path)))
    (folder / "vocabulary.json").rename(folder / "hidden")
    with pytest.raises(UserError, match="no vocabulary there"):
        load(str(folder))
    facts = json.loads((folder / "hidden").read_text()) | {"featurizer": "s3d-other"}
    (folder / "vocabulary.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=f"not {vocabulary.id}; fit the vocabulary again"):
        load(str(folder))
    (folder / "vocabulary.json").write_text("{")
    with pytest.raises(UserError, match=f"{vocabulary.id}: not a whole vocabulary"):
        load(str(folder))
    with pytest.raises(UserError, match="no vocabulary there"):
        load(str(folder / "vocabulary.json"))


def test_saving_again_mends_a_half_written_folder_and_leaves_a_whole_one_alone(
    vocabulary: Vocabulary, tmp_path: Path
):
    folder = Path(save(vocabulary, str(tmp_path)))
    tensors = folder / "vocabulary.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-7])
    with pytest.raises(UserError, match=f"{vocabulary.id}: not a whole vocabulary") as raised:
        load(str(folder))
    assert "\n" not in str(raised.value)
    save(vocabulary, str(tmp_path))
    written_at = tensors.stat().st_mtime_ns
    assert load(str(folder)).id == vocabulary.id
    save(vocabulary, str(tmp_path))
    assert tensors.stat().st_mtime_ns == written_at


def test_features_that_cannot_be_clustered_are_refused(vocabulary: Vocabulary):
    config = VocabularyConfig(branching=3, depth=2)
    with pytest.raises(UserError, match="NaN or infinity"):
        fit_vocabulary(sample_of(np.full((9, 5), np.nan)), config=config, featurizer=FEATURIZER)
    with pytest.raises(UserError, match="no clip to fit"):
        fit_vocabulary(sample_of(np.zeros((0, 5))), config=config, featurizer=FEATURIZER)
    with pytest.raises(UserError, match="NaN or infinity"):
        vocabulary.assign(np.full((2, 5), np.inf, np.float32))
    with pytest.raises(UserError, match="wants 5 dimensions, got 4"):
        vocabulary.assign(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize(
    "options", [{"branching": 1}, {"depth": 0}, {"sample_size": 0}, {"num_iterations": 0}, {"depth": 9}]
)
def test_options_that_make_no_tree_are_refused_with_their_value(options: dict[str, int]):
    ((name, value),) = options.items()
    with pytest.raises(UserError, match=rf"{name}.* {value}"):
        VocabularyConfig(**options)
