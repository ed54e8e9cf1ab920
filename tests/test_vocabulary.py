"""The visual vocabulary: a tree of k-means, its tokens, its artefact."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, mean_squared_error

from vbert.errors import UserError
from vbert.vocabulary import Sample, Vocabulary, VocabularyConfig, fit_vocabulary, load, save

FEATURIZER = "s3d-0123abcd"


def sample_of(features: np.ndarray) -> Sample:
    count = len(features)
    return Sample(
        features=features.astype(np.float32),
        video_ids=[f"v{row % 7}" for row in range(count)],
        start_seconds=np.arange(count) * 1.5,
    )


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


def test_a_clips_token_does_not_hang_on_its_neighbours(
    vocabulary: Vocabulary, blobs: tuple[np.ndarray, np.ndarray]
):
    whole = vocabulary.assign(blobs[0])
    alone = np.concatenate([vocabulary.assign(part) for part in np.array_split(blobs[0], [1, 3, 400, 401])])
    np.testing.assert_array_equal(whole, alone)
    assert vocabulary.assign(np.zeros((0, 5), np.float32)).tolist() == []


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
    assert (quality.num_clips, quality.num_used_leaves) == (900, 9)
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
    assert again.exemplars == vocabulary.exemplars


def test_a_store_is_as_good_as_a_folder(vocabulary: Vocabulary):
    assert load(save(vocabulary, "memory://vocabularies")).id == vocabulary.id


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
    with pytest.raises(UserError, match="not JSON"):
        load(str(folder))


def test_features_that_cannot_be_clustered_are_refused(vocabulary: Vocabulary):
    config = VocabularyConfig(branching=3, depth=2)
    with pytest.raises(UserError, match="NaN or infinity"):
        fit_vocabulary(sample_of(np.full((9, 5), np.nan)), config=config, featurizer=FEATURIZER)
    with pytest.raises(UserError, match="no clip to fit"):
        fit_vocabulary(sample_of(np.zeros((0, 5))), config=config, featurizer=FEATURIZER)
    with pytest.raises(UserError, match="wants 5 dimensions, got 4"):
        vocabulary.assign(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize(
    "options", [{"branching": 1}, {"depth": 0}, {"sample_size": 0}, {"num_iterations": 0}, {"depth": 9}]
)
def test_options_that_make_no_tree_are_refused_with_their_value(options: dict[str, int]):
    ((name, value),) = options.items()
    with pytest.raises(UserError, match=rf"{name}.* {value}"):
        VocabularyConfig(**options)
