"""Jaccard similarity of neighbours beside mutual k-NN; the rest is in test_mutual_knn."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest

from repdiss_core.measures.jaccard_knn import chance, jaccard_knn_matrix
from repdiss_core.measures.mutual_knn import mutual_knn_matrix


def test_it_is_below_the_mutual_share_and_equal_at_the_ends():
    f, g = cases.layers(), cases.layers(seed=1)
    jaccard, mutual = jaccard_knn_matrix(f, g), mutual_knn_matrix(f, g)
    assert (jaccard < mutual).all() and (jaccard > mutual / 2).all()
    assert (jaccard_knn_matrix(f, g, k=1) == mutual_knn_matrix(f, g, k=1)).all()


def test_chance_is_the_mean_of_a_hypergeometric_ratio():
    rng = np.random.default_rng(0)
    draws = [len(set(rng.permutation(30)[:5]) & set(range(5))) for _ in range(20000)]
    assert chance(31, 5) == pytest.approx(np.mean([c / (10 - c) for c in draws]), abs=2e-3)
