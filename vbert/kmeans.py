"""k-means with torch: k-means++ seeding, Lloyd's iterations as a map and a sum, no empty cluster.

N points, D dimensions, K clusters. Points and centroids are float32; sums and distances are taken in blocks
of rows, so that memory beyond the points stays at tens of MB.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

ROWS_PER_BLOCK = 16_384  # 16,384 rows x 1,024 dimensions x 4 B = 64 MB


class Clustering(NamedTuple):
    """`centroids` [K', D] with K' <= K, and each point's `labels` [N], int64 in 0 .. K' - 1."""

    centroids: torch.Tensor
    labels: torch.Tensor


def kmeans(
    points: torch.Tensor, *, num_clusters: int, num_iterations: int, generator: torch.Generator
) -> Clustering:
    """Cluster `points` [N, D]; as many clusters as there are distinct points, if these are fewer.

    Stops before `num_iterations` once no label changes. The same points, generator and device give the same
    result.
    """
    seeds = plus_plus(points, num_clusters=num_clusters, generator=generator)
    return lloyd(points, seeds, num_iterations=num_iterations)


def plus_plus(points: torch.Tensor, *, num_clusters: int, generator: torch.Generator) -> torch.Tensor:
    """Choose distinct points far from each other: [K', D].

    k-means++ (Arthur & Vassilvitskii 2007), greedy: of several candidates, the one that helps most.
    """
    num_candidates = 2 + int(math.log(num_clusters))  # the authors' number
    chosen = [points[torch.randint(len(points), (), generator=generator)]]
    squares = squared_distances(points, chosen[0])
    while len(chosen) < num_clusters and bool((squares > 0).any()):
        candidates = _draw(squares, num_candidates, generator)
        closer = [torch.minimum(squares, squared_distances(points, points[row])) for row in candidates]
        best = int(torch.stack([each.sum(dtype=torch.float64) for each in closer]).argmin())
        chosen.append(points[candidates[best]])
        squares = closer[best]
    return torch.stack(chosen)


def _draw(weights: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` rows with a chance in proportion to their weight; none of weight 0.

    torch.multinomial ends at 2^24 rows; places on a line that is divided by the weights do not.
    """
    line = weights.cumsum(0, dtype=torch.float64)
    places = torch.rand(count, generator=generator, dtype=torch.float64).to(weights.device) * line[-1]
    rows = torch.searchsorted(line, places, right=True).clamp(max=len(weights) - 1)
    # Rounding at the line's end may lead to a row without weight; the heaviest has some.
    return torch.where(weights[rows] > 0, rows, weights.argmax())


def lloyd(points: torch.Tensor, centroids: torch.Tensor, *, num_iterations: int) -> Clustering:
    """Move `centroids` [K, D] to the means of their points, up to `num_iterations` times.

    A cluster that loses all its points is set on the point that is farthest from its own centroid.
    """
    labels = nearest(points, centroids)
    for _ in range(num_iterations):
        sums, counts = partial_sums(points, labels, num_clusters=len(centroids))
        centroids = means(sums, counts, otherwise=centroids)
        for empty in torch.nonzero(counts == 0).flatten().tolist():
            centroids[empty] = points[_farthest(points, centroids, labels)]
            labels = nearest(points, centroids)
        before, labels = labels, nearest(points, centroids)
        if torch.equal(before, labels):
            break
    return Clustering(centroids, labels)


def partial_sums(
    points: torch.Tensor, labels: torch.Tensor, *, num_clusters: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum [K, D] (float64) and number [K] of each cluster's points. Parts of a data set add up."""
    sums = torch.zeros(num_clusters, points.shape[1], dtype=torch.float64, device=points.device)
    for rows in blocks(len(points)):
        # A product rather than index_add_, which adds in no fixed order on a GPU.
        members = torch.nn.functional.one_hot(labels[rows], num_clusters).to(torch.float32)
        sums += (members.T @ points[rows]).double()
    return sums, torch.bincount(labels, minlength=num_clusters)


def means(sums: torch.Tensor, counts: torch.Tensor, *, otherwise: torch.Tensor) -> torch.Tensor:
    """Float32 [K, D]: the means, or the row of `otherwise` where there is nothing to average."""
    averages = (sums / counts.clamp(min=1)[:, None]).float()
    return torch.where(counts[:, None] > 0, averages, otherwise)


def nearest(points: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """The index of each point's nearest centroid, int64 [N]; the lower one of two at the same distance.

    In float64, so that the result does not hang on which points share a block.
    """
    wide = centroids.double()
    lengths = wide.square().sum(1)
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    for rows in blocks(len(points)):
        # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, and |x|^2 is the same for every c.
        labels[rows] = (lengths - 2 * (points[rows].double() @ wide.T)).argmin(1)
    return labels


def squared_distances(points: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Float32 [N]: from each point to `centers`, one for all [D] or one for each [N, D]."""
    squares = torch.empty(len(points), device=points.device)
    for rows in blocks(len(points)):
        here = centers if centers.ndim == 1 else centers[rows]
        squares[rows] = (points[rows] - here).square().sum(1)
    return squares


def blocks(num_rows: int) -> Iterator[slice]:
    """Slices of at most ROWS_PER_BLOCK rows."""
    for start in range(0, num_rows, ROWS_PER_BLOCK):
        yield slice(start, start + ROWS_PER_BLOCK)


def _farthest(points: torch.Tensor, centroids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    squares = torch.cat(
        [squared_distances(points[rows], centroids[labels[rows]]) for rows in blocks(len(points))]
    )
    return squares.argmax()
