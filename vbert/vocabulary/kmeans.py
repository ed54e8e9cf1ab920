"""k-means with torch: k-means++ seeding, Lloyd's iterations as a map and a sum, no empty cluster.

N points, D dimensions, K clusters. Points and centroids are float32; sums and distances are taken in blocks
of rows, so that memory beyond the points stays at tens of MB (on a GPU, at some blocks of 256 MB) and never
is [N, K] numbers.

Threads: most calls are short. On cores that others use too, a thread that waits for its turn holds up all
(measured on two busy cores, a tree on 30,000 x 256: 47 s with two threads, 7 s with one).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

# 1,024 rows x 1,024 dimensions x 4 B = 4 MB, which stays in a core's cache. Measured on 100,000 x 1,024, one
# core, against blocks of 64 MB: squared_distances 0.04 s instead of 0.43 s, nearest 0.11 s instead of 0.56 s.
VALUES_PER_BLOCK = 2**20
# 256 MB, over which a GPU works longer than it takes to be told. Measured on an H200, a tree of 12^4 leaves
# on 1,000,000 x 1,024: 19 s, of which 16 s are its 1,728 small nodes; with the CPU's blocks 29 s.
VALUES_PER_GPU_BLOCK = 2**26


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
    line = weights.cpu().cumsum(0, dtype=torch.float64)  # a GPU adds in no fixed order
    places = torch.rand(count, generator=generator, dtype=torch.float64) * line[-1]
    rows = torch.searchsorted(line, places, right=True).clamp(max=len(weights) - 1).to(weights.device)
    # Rounding at the line's end may lead to a row without weight; the heaviest has some.
    return torch.where(weights[rows] > 0, rows, weights.argmax())


def lloyd(points: torch.Tensor, centroids: torch.Tensor, *, num_iterations: int) -> Clustering:
    """Move `centroids` [K, D] to the means of their points, up to `num_iterations` times.

    A cluster that loses all its points is set on the point that is farthest from its own centroid.
    """
    labels = nearest(points, centroids)
    for _ in range(num_iterations):
        before = labels
        sums, counts = partial_sums(points, labels, num_clusters=len(centroids))
        centroids = means(sums, counts, otherwise=centroids)
        labels = nearest(points, centroids)
        for empty in (labels.bincount(minlength=len(centroids)) == 0).nonzero().flatten().tolist():
            centroids[empty] = points[squared_errors(points, centroids, labels).argmax()]
            labels = nearest(points, centroids)
        if torch.equal(before, labels):
            break
    return Clustering(centroids, labels)


def partial_sums(
    points: torch.Tensor, labels: torch.Tensor, *, num_clusters: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum [K, D] (float64) and number [K] of each cluster's points. Parts of a data set add up."""
    sums = torch.zeros(num_clusters, points.shape[1], dtype=torch.float64, device=points.device)
    for rows in blocks(points):
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
    for rows in blocks(points):
        # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, and |x|^2 is the same for every c.
        labels[rows] = (lengths - 2 * (points[rows].double() @ wide.T)).argmin(1)
    return labels


def squared_distances(points: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """Float32 [N]: from each point to `center` [D]; exactly 0 if they are the same."""
    squares = torch.empty(len(points), device=points.device)
    for rows in blocks(points):
        squares[rows] = (points[rows] - center).square().sum(1)
    return squares


def squared_errors(points: torch.Tensor, centroids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Float32 [N]: from each point to the centroid [K, D] that its label names."""
    squares = torch.empty(len(points), device=points.device)
    for rows in blocks(points):
        squares[rows] = (points[rows] - centroids[labels[rows]]).square().sum(1)
    return squares


def blocks(points: torch.Tensor) -> Iterator[slice]:
    """Slices of the rows of `points` [N, D] that hold a block's numbers, or one row."""
    num_values = VALUES_PER_BLOCK if points.device.type == "cpu" else VALUES_PER_GPU_BLOCK
    num_rows = max(1, num_values // max(1, points.shape[1]))
    for start in range(0, len(points), num_rows):
        yield slice(start, start + num_rows)
