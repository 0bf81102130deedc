"""Clustering: planted clusters are recovered, scores equal scikit-learn's, maps keep distances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from repdiss_core.analysis import clustering as c
from repdiss_core.base.errors import UserError


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def two_blobs(seed: int = 0, apart: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    wanted = rng.permutation(np.repeat([0, 1], 8))
    return distances(rng.normal(size=(16, 5)) * 0.5 + apart * wanted[:, None]), wanted


@pytest.mark.parametrize("method", c.METHODS)
def test_planted_clusters_are_recovered(method):
    distance, wanted = two_blobs()
    labels = c.cluster(distance, 2, method)
    assert c.adjusted_rand_index(labels, wanted) == 1.0 and labels[0] == 0
    assert c.silhouette(distance, labels) > 0.7 and c.chance_of_agreement(labels, wanted, 300) < 0.01


@pytest.mark.parametrize("method", c.METHODS)
def test_without_clusters_agreement_is_chance(method):
    scores = []
    for seed in range(30):
        distance, wanted = two_blobs(seed, apart=0.0)
        scores.append(c.adjusted_rand_index(c.cluster(distance, 2, method), wanted))
    assert abs(np.mean(scores)) < 0.08


@pytest.mark.parametrize("method", c.METHODS)
def test_three_clusters(method):
    rng = np.random.default_rng(1)
    wanted = np.repeat([0, 1, 2], 5)
    distance = distances(np.array([[0, 0], [6, 0], [0, 6]])[wanted] + 0.3 * rng.normal(size=(15, 2)))
    assert c.adjusted_rand_index(c.cluster(distance, 3, method), wanted) == 1.0


def test_medoids_are_the_best_of_all():
    for seed in range(5):
        distance = distances(np.random.default_rng(seed).normal(size=(9, 2)))
        best = min(distance[:, list(pair)].min(axis=1).sum() for pair in itertools.combinations(range(9), 2))
        labels = c.cluster(distance, 2, "k_medoids")
        cost = sum(distance[np.ix_(labels == k, labels == k)].sum(axis=0).min() for k in (0, 1))
        assert cost == pytest.approx(best)


def test_scores_equal_scikit_learns():
    from sklearn import metrics

    rng = np.random.default_rng(2)
    distance = distances(rng.normal(size=(14, 3)))
    for _ in range(5):
        one, other = rng.integers(0, 3, 14), rng.integers(0, 2, 14)
        assert c.adjusted_rand_index(one, other) == pytest.approx(metrics.adjusted_rand_score(one, other))
        assert c.silhouette(distance, one) == pytest.approx(
            metrics.silhouette_score(distance, one, metric="precomputed")
        )


def test_scores_at_their_edges():
    distance, wanted = two_blobs()
    assert np.isnan(c.silhouette(distance, np.zeros(16)))
    assert c.adjusted_rand_index(wanted, 1 - wanted) == 1.0 and c.adjusted_rand_index(np.zeros(16), np.zeros(16)) == 1.0
    alone = np.array([0] + [1] * 15)
    assert c.silhouette(distance, alone) < 1


def test_classical_scaling_recovers_points_in_the_plane():
    distance = distances(np.random.default_rng(0).normal(size=(10, 2)))
    np.testing.assert_allclose(distances(c.classical_mds(distance)), distance, atol=1e-9)
    points, stress = c.metric_mds(distance)
    assert stress < 1e-6 and points.shape == (10, 2)


def test_majorisation_lowers_the_stress_of_what_does_not_fit_the_plane():
    distance = distances(np.random.default_rng(0).normal(size=(12, 8)))
    start = distances(c.classical_mds(distance))
    before = np.sqrt(((distance - start) ** 2).sum() / (distance**2).sum())
    assert c.metric_mds(distance)[1] < before - 0.01


def test_the_tree_has_every_leaf_once_and_its_top_at_the_largest_merge():
    distance, wanted = two_blobs()
    tree = c.dendrogram(distance)
    assert sorted(tree.leaves) == list(range(16)) and len(tree.branches) == 15
    between = distance[np.not_equal.outer(wanted, wanted)].mean()
    assert max(y.max() for _, y in tree.branches) == pytest.approx(between)
    assert len({wanted[i] for i in tree.leaves[:8]}) == 1
    assert min(x.min() for x, _ in tree.branches) == 0 and max(x.max() for x, _ in tree.branches) == 15


def test_bad_input_is_told():
    distance, _ = two_blobs()
    with pytest.raises(UserError, match="no clustering 'magic'; choose one of hierarchical, k_medoids, spectral"):
        c.cluster(distance, 2, "magic")
    with pytest.raises(UserError, match="16 models cannot be put into 17 clusters"):
        c.cluster(distance, 17, "k_medoids")
    with pytest.raises(UserError, match="A distance matrix is .M, M.; got .16, 15."):
        c.cluster(distance[:, 1:], 2, "k_medoids")
    with pytest.raises(UserError, match="has gaps"):
        c.checked(np.where(np.eye(16, k=1) > 0, np.nan, distance))
    with pytest.raises(UserError, match="symmetric, not negative, and zero on its diagonal"):
        c.checked(distance + np.eye(16))


def test_many_models_are_clustered_by_swaps(monkeypatch):
    monkeypatch.setattr(c, "EXACT_CHOICES", 1)
    distance, wanted = two_blobs()
    assert c.adjusted_rand_index(c.cluster(distance, 2, "k_medoids"), wanted) == 1.0
