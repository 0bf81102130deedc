"""Do the models fall into clusters by themselves?

Three ways to cluster a distance matrix, how well they did, and maps of it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from repdiss_core.base.errors import UserError

EXACT_CHOICES = 5000
METHODS = ("hierarchical", "k_medoids", "spectral")


@dataclass(frozen=True, eq=False)
class Tree:
    """A dendrogram: `leaves` are indices from left to right; each branch is ((4,) x, (4,) heights), leaves at x = 0, 1,
    2 …"""

    leaves: tuple[int, ...]
    branches: tuple[tuple[np.ndarray, np.ndarray], ...]


def cluster(distance: np.ndarray, k: int, method: str) -> np.ndarray:
    """(M,) labels 0 … k−1, numbered by first appearance.

    Args:
        distance: (M, M) symmetric, zero diagonal.
        method: "hierarchical" (average linkage), "k_medoids" or "spectral".

    Raises:
        UserError: an unknown method, a matrix that is no distance, or k out of range.
    """
    distance = checked(distance)
    if method not in METHODS:
        raise UserError(f"There is no clustering {method!r}; choose one of {', '.join(METHODS)}.")
    if not 1 <= k <= len(distance):
        raise UserError(f"{len(distance)} models cannot be put into {k} clusters; choose 1 to {len(distance)}.")
    labels = {"hierarchical": _hierarchical, "k_medoids": _k_medoids, "spectral": _spectral}[method](distance, k)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def checked(distance: np.ndarray) -> np.ndarray:
    """The matrix as float64, if it is a distance matrix."""
    distance = np.asarray(distance, dtype=float)
    if distance.ndim != 2 or distance.shape[0] != distance.shape[1]:
        raise UserError(f"A distance matrix is (M, M); got {distance.shape}.")
    if not np.isfinite(distance).all():
        raise UserError(
            "The distance matrix has gaps: some pairs of models are not computed yet. Compute them before clustering."
        )
    if (
        not np.allclose(distance, distance.T, atol=1e-9)
        or (np.abs(np.diag(distance)) > 1e-9).any()
        or (distance < 0).any()
    ):
        raise UserError("A distance matrix is symmetric, not negative, and zero on its diagonal; this one is not.")
    return distance


def linkage(distance: np.ndarray) -> np.ndarray:
    """(M−1, 4) average linkage, as SciPy writes it."""
    from scipy.cluster.hierarchy import linkage as scipy_linkage
    from scipy.spatial.distance import squareform

    return scipy_linkage(squareform(checked(distance), checks=False), method="average")


def dendrogram(distance: np.ndarray) -> Tree:
    """The tree of average linkage, ready to draw."""
    from scipy.cluster.hierarchy import dendrogram as scipy_dendrogram

    drawn = scipy_dendrogram(linkage(distance), no_plot=True)
    branches = tuple(
        (np.array(x) / 10 - 0.5, np.array(y)) for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    )
    return Tree(tuple(int(i) for i in drawn["leaves"] or ()), branches)


def _hierarchical(distance: np.ndarray, k: int) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster

    return fcluster(linkage(distance), t=k, criterion="maxclust")


def _k_medoids(distance: np.ndarray, k: int) -> np.ndarray:
    """The best k medoids of all where they can be gone through, else partitioning around medoids. No randomness."""
    if math.comb(len(distance), k) <= EXACT_CHOICES:
        best = min(itertools.combinations(range(len(distance)), k), key=lambda chosen: _cost(distance, list(chosen)))
        return distance[:, list(best)].argmin(axis=1)
    medoids: list[int] = []  # greedy start, then the best swap until none helps
    for _ in range(k):
        costs = [_cost(distance, [*medoids, i]) if i not in medoids else np.inf for i in range(len(distance))]
        medoids.append(int(np.argmin(costs)))
    while True:
        swaps = [(medoid, i) for medoid in medoids for i in range(len(distance)) if i not in medoids]
        options = [[i if m == medoid else m for m in medoids] for medoid, i in swaps]
        costs = [_cost(distance, option) for option in options]
        if not costs or min(costs) >= _cost(distance, medoids) - 1e-12:
            return distance[:, medoids].argmin(axis=1)
        medoids = options[int(np.argmin(costs))]


def _cost(distance: np.ndarray, medoids: list[int]) -> float:
    return float(distance[:, medoids].min(axis=1).sum())


def _spectral(distance: np.ndarray, k: int) -> np.ndarray:
    """Normalised cuts on exp(−d²/2σ²), σ the median distance; clusters from the eigenvectors by pivoted QR (no random
    start)."""
    from sklearn.cluster import spectral_clustering

    off = distance[~np.eye(len(distance), dtype=bool)]
    sigma = float(np.median(off)) if off.size and np.median(off) > 0 else 1.0
    return spectral_clustering(
        np.exp(-(distance**2) / (2 * sigma**2)), n_clusters=k, assign_labels="cluster_qr", random_state=0
    )


def silhouette(distance: np.ndarray, labels: np.ndarray) -> float:
    """Mean over models of (b − a)/max(a, b), a the mean distance to the own cluster,
    b to the nearest other (Rousseeuw 1987).

    A model alone in its cluster counts 0. NaN where all models share one cluster, or each has its own.
    """
    from sklearn.metrics import silhouette_score

    distance, n_kinds = checked(distance), len(np.unique(labels))
    return (
        float(silhouette_score(distance, labels, metric="precomputed"))
        if 2 <= n_kinds < len(distance)
        else float("nan")
    )


def adjusted_rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """Agreement of two partitions, 1 for equal ones and 0 expected by chance (Hubert and Arabie 1985).

    Ours, since `chance_of_agreement` needs thousands at once and scikit-learn's checks would take seconds; tested
    against it.
    """
    return float(_rand_indices(one[None], other)[0])


def _rand_indices(many: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(P,) indices of the partitions `many` (P, n), all of the same sizes, with `other` (n,)."""
    member, wanted = (np.equal.outer(labels, np.unique(labels)).astype(float) for labels in (many, other))
    table = np.tensordot(member, wanted, axes=(1, 0))  # (P, clusters of many, clusters of other)
    agree, first, second = (
        (x * (x - 1) / 2).reshape(len(many), -1).sum(axis=1) for x in (table, table.sum(axis=2), table.sum(axis=1))
    )
    expected, most = first * second / (len(other) * (len(other) - 1) / 2), (first + second) / 2
    return np.divide(agree - expected, most - expected, out=np.ones(len(many)), where=most != expected)


def chance_of_agreement(labels: np.ndarray, wanted: np.ndarray, n_permutations: int = 2000, seed: int = 0) -> float:
    """How often a random relabelling of the models agrees with `wanted` at least as well:
    a p-value for the Rand index."""
    rng = np.random.default_rng(seed)
    own = adjusted_rand_index(labels, wanted)
    relabelled = np.stack([rng.permutation(labels) for _ in range(n_permutations)])
    hits = int((_rand_indices(relabelled, wanted) >= own - 1e-12).sum())
    return (hits + 1) / (n_permutations + 1)


def classical_mds(distance: np.ndarray, n_dimensions: int = 2) -> np.ndarray:
    """(M, n_dimensions) coordinates of Torgerson's scaling: exact for distances that points in that many dimensions
    have."""
    distance = checked(distance)
    m = len(distance)
    centre = np.eye(m) - 1.0 / m
    values, vectors = np.linalg.eigh(-0.5 * centre @ (distance**2) @ centre)
    best = np.argsort(values)[::-1][:n_dimensions]
    points = vectors[:, best] * np.sqrt(np.maximum(values[best], 0.0))
    largest = np.abs(points).argmax(axis=0)
    # One sign, whatever the machine
    turned = points * np.where(points[largest, np.arange(points.shape[1])] < 0, -1.0, 1.0)
    return np.pad(turned, ((0, 0), (0, n_dimensions - turned.shape[1])))


def metric_mds(distance: np.ndarray, n_dimensions: int = 2, steps: int = 300) -> tuple[np.ndarray, float]:
    """((M, n_dimensions) points, stress-1) by majorisation (SMACOF, de Leeuw) from the classical solution."""
    from sklearn.manifold import smacof

    distance = checked(distance)
    start = classical_mds(distance, n_dimensions)
    points, stress = smacof(
        distance,
        metric=True,
        n_components=n_dimensions,
        init=start,
        n_init=1,
        max_iter=steps,
        eps=1e-9,
        normalized_stress=False,
    )
    total = float((distance**2).sum()) / 2  # smacof gives the raw stress: the sum over pairs
    return points, float(np.sqrt(stress / total)) if total > 0 else 0.0
