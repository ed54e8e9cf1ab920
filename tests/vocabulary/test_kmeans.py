"""k-means against scikit-learn's on the same data."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from vbert.vocabulary import kmeans as module
from vbert.vocabulary.kmeans import kmeans, lloyd, means, nearest, partial_sums, plus_plus, squared_errors


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The calls are short: threads would wait for each other."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    values, _ = make_blobs(n_samples=501, n_features=17, centers=23, cluster_std=2.5, random_state=5)
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize("num_iterations", [1, 4, 100])
def test_from_the_same_start_it_goes_where_scikit_learn_goes(points: torch.Tensor, num_iterations: int):
    start = points[:11].clone()
    ours = lloyd(points, start, num_iterations=num_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one iteration does not converge: the point of this test
        model = KMeans(11, init=start.numpy(), n_init=1, max_iter=num_iterations, tol=0, algorithm="lloyd")
        theirs = model.fit(points.double())
    np.testing.assert_array_equal(ours.labels.numpy(), theirs.labels_)
    np.testing.assert_allclose(ours.centroids.numpy(), theirs.cluster_centers_, rtol=1e-5, atol=1e-5)


def test_its_own_start_is_as_good_as_scikit_learns(points: torch.Tensor):
    def inertia(seed: int) -> float:
        found = kmeans(points, num_clusters=23, num_iterations=50, generator=generator(seed))
        return float(squared_errors(points, found.centroids, found.labels).sum())

    ours = np.median([inertia(seed) for seed in range(9)])
    theirs = np.median([KMeans(23, n_init=1, random_state=seed).fit(points).inertia_ for seed in range(9)])
    assert ours <= 1.08 * theirs


def test_clusters_that_are_there_are_found():
    values, truth = make_blobs(n_samples=700, n_features=9, centers=7, cluster_std=0.4, random_state=2)
    found = kmeans(
        torch.from_numpy(values.astype(np.float32)), num_clusters=7, num_iterations=50, generator=generator()
    )
    assert adjusted_rand_score(truth, found.labels.numpy()) > 0.99


def test_the_same_seed_gives_the_same_bits(points: torch.Tensor):
    first, second = (
        kmeans(points, num_clusters=5, num_iterations=9, generator=generator(3)) for _ in range(2)
    )
    assert torch.equal(first.centroids, second.centroids)


def test_parts_add_up_to_the_whole(points: torch.Tensor):
    labels = nearest(points, points[:7])
    whole, counts = partial_sums(points, labels, num_clusters=7)
    parts = [
        partial_sums(points[rows], labels[rows], num_clusters=7) for rows in (slice(0, 200), slice(200, None))
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole, rtol=1e-5, atol=1e-3)
    assert torch.equal(parts[0][1] + parts[1][1], counts)
    for label in range(7):
        mean = means(whole, counts, otherwise=points[:7])[label]
        torch.testing.assert_close(mean, points[labels == label].mean(0), rtol=1e-4, atol=1e-5)


def test_block_size_does_not_change_a_label(points: torch.Tensor, monkeypatch: pytest.MonkeyPatch):
    expected = nearest(points, points[:7])
    errors = squared_errors(points, points[:7], expected)
    monkeypatch.setattr(module, "VALUES_PER_BLOCK", 13 * 17)  # 13 rows
    assert torch.equal(nearest(points, points[:7]), expected)
    assert torch.equal(squared_errors(points, points[:7], expected), errors)
    brute = ((points[:, None].double() - points[None, :7].double()) ** 2).sum(-1)
    assert torch.equal(expected, brute.argmin(1))
    torch.testing.assert_close(errors.double(), brute.min(1).values, rtol=1e-5, atol=1e-4)


def test_a_cluster_that_loses_its_points_is_set_on_the_farthest_one():
    points = torch.tensor([[0.0], [1.0], [2.0], [50.0]])
    found = lloyd(points, torch.tensor([[0.5], [1.5], [1000.0]]), num_iterations=20)
    # Once 50 has gone to the third cluster, the second one has lost its points in turn, and takes 0.
    assert found.centroids.flatten().tolist() == [1.5, 0.0, 50.0]
    assert found.labels.tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("seed", range(5))
def test_once_nothing_moves_every_centroid_is_the_mean_of_its_points(points: torch.Tensor, seed: int):
    astray = points[:9] + 500 * (torch.arange(9) % 2)[:, None]  # every other one far from all points
    start = astray[torch.randperm(9, generator=generator(seed))]
    found = lloyd(points, start, num_iterations=300)
    for label in range(9):
        mean = points[found.labels == label].mean(0)
        torch.testing.assert_close(found.centroids[label], mean, rtol=1e-4, atol=1e-4)


def test_of_two_centroids_at_the_same_distance_the_lower_one_takes_the_point():
    assert nearest(torch.tensor([[1.0], [1.0]]), torch.tensor([[3.0], [2.0], [0.0], [2.0]])).tolist() == [
        1,
        1,
    ]


@pytest.mark.parametrize(("distinct", "expected"), [(1, 1), (3, 3), (8, 5)])
def test_there_are_no_more_clusters_than_distinct_points(distinct: int, expected: int):
    points = torch.arange(distinct, dtype=torch.float32).repeat(4)[:, None].repeat(1, 3)
    found = kmeans(points, num_clusters=5, num_iterations=10, generator=generator())
    assert len(found.centroids) == expected
    assert sorted(found.labels.unique().tolist()) == list(range(expected))


def test_seeds_are_points_and_never_the_same_twice(points: torch.Tensor):
    seeds = plus_plus(torch.cat([points, points]), num_clusters=40, generator=generator(1))
    assert len(torch.unique(seeds, dim=0)) == 40
    assert all((points == seed).all(1).any() for seed in seeds)
