"""Equation (2): values, metric axioms, error sentences."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.measures import cka_distance, cka_matrix, distance_matrix
from repdiss_core.measures.distance import same_layer_values


def test_the_distance_is_the_root_of_summed_squared_angles():
    assert cka_distance([1.0, 1.0]) == 0.0
    assert cka_distance([0.0]) == pytest.approx(np.pi / 2)
    assert cka_distance([0.5, np.sqrt(0.5)]) == pytest.approx(np.hypot(np.pi / 3, np.pi / 4))
    assert cka_distance([-0.5]) == pytest.approx(2 * np.pi / 3), "a negative CKA is an obtuse angle, not 0"


def test_clipping_happens_inside_the_arccos_only():
    values = np.array([1.0 + 1e-9, 0.5])
    assert cka_distance(values) == pytest.approx(np.pi / 3)
    assert values[0] == 1.0 + 1e-9


def test_many_pairs_at_once_and_missing_layers():
    values = np.random.default_rng(0).uniform(-1, 1, (3, 4, 5))
    assert cka_distance(values).shape == (3, 4)
    assert cka_distance(values)[1, 2] == pytest.approx(cka_distance(values[1, 2]))
    assert np.isnan(cka_distance([0.3, np.nan]))


def models(seed: int) -> list[list[np.ndarray]]:
    """Models of two layers, some close to each other and some far, on one batch of 24 tokens."""
    rng = np.random.default_rng(seed)
    base = [rng.normal(size=(24, 6)) for _ in range(2)]
    return [[x + noise * rng.normal(size=(24, 6)) for x in base] for noise in (0.0, 0.2, 0.5, 2.0, 9.0)]


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("seed", range(5))
def test_metric_axioms_on_one_batch(estimator, seed):
    def between(f, g):
        return cka_distance(same_layer_values(cka_matrix([f], [g], estimator).values))

    some = models(seed)
    d = np.array([[between(f, g) for g in some] for f in some])
    np.testing.assert_allclose(d.diagonal(), 0, atol=1e-6)
    np.testing.assert_allclose(d, d.T, atol=1e-7)
    assert (d[~np.eye(len(some), dtype=bool)] > 0.01).all()
    for a, b, c in permutations(range(len(some)), 3):
        assert d[a, c] <= d[a, b] + d[b, c] + 1e-7


def test_rotated_scaled_and_shifted_models_are_at_distance_zero():
    f = models(0)[0]
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    g = [3.0 * x @ rotation + 7.0 for x in f]
    assert cka_distance(same_layer_values(cka_matrix([f], [g], "biased").values)) < 1e-6
    stretched = [x * np.array([9.0, 1, 1, 1, 1, 1]) for x in f]
    assert cka_distance(same_layer_values(cka_matrix([f], [stretched], "biased").values)) > 0.3


def test_distance_matrix_is_symmetric_and_takes_either_order():
    rng, names = np.random.default_rng(0), ("a", "b", "c")
    cka = {pair: rng.uniform(0, 1, 4) for pair in combinations(names, 2)}
    d = distance_matrix(names, cka)
    assert (d == d.T).all() and (d.diagonal() == 0).all() and d[0, 2] == cka_distance(cka["a", "c"])
    assert (distance_matrix(names, {(g, f): v for (f, g), v in cka.items()}) == d).all()


def test_bad_input_says_what_is_wrong():
    with pytest.raises(UserError, match=r"sums over layers, and there are none"):
        cka_distance([])
    with pytest.raises(UserError, match=r"sums over layers, and there are none"):
        cka_distance(0.5)
    with pytest.raises(UserError, match=r"the models have 3 and 4 layers: choose models of one depth"):
        same_layer_values(np.zeros((3, 4)))
    with pytest.raises(UserError, match=r"The CKA of c with a is missing"):
        distance_matrix(("a", "b", "c"), {("a", "b"): [0.5]})
    with pytest.raises(UserError, match=r"The pairs have 1 and 2 layers"):
        distance_matrix(("a", "b", "c"), {("a", "b"): [0.5], ("a", "c"): [0.5, 0.5], ("b", "c"): [0.5]})
