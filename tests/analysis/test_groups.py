"""Groups and permutation tests: planted gaps are found, a null says null, counts are the paper's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from repdiss_core.analysis.groups import (  # fmt: skip
    direction,
    gap,
    jackknife,
    level,
    over_pairs,
    pair_values,
    permutation_test,
    split_groups,
    unordered_pair_values,
)
from repdiss_core.base.errors import UserError

TOP = np.arange(12) < 6


def population(seed: int, between: float = 0.0, layers: int = 6, from_layer: int = 4) -> np.ndarray:
    """(12, 12, L) symmetric values with a part of each model's own,
    and `between` taken off pairs between groups late."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(12, layers)) * 0.05
    values = 0.7 + own[:, None] + own[None] + 0.02 * rng.normal(size=(12, 12, layers))
    values = (values + values.transpose(1, 0, 2)) / 2
    values[np.not_equal.outer(TOP, TOP), from_layer:] -= between
    return values


def test_190_pairs_at_the_papers_k():
    groups = split_groups({f"m{i:02d}": i / 100 for i in range(24)}, 10)
    assert groups.n_pairs == 190 and len(groups.top) == len(groups.bottom) == 10
    values = unordered_pair_values(np.zeros((20, 20, 6)), groups.is_top)
    assert {kind: len(v) for kind, v in values.items()} == {"top_top": 45, "bottom_bottom": 45, "top_bottom": 100}
    ordered = pair_values(np.zeros((20, 20, 6)), groups.is_top)
    assert {kind: len(v) for kind, v in ordered.items()} == {
        "top_top": 90,
        "bottom_bottom": 90,
        "top_bottom": 100,
        "bottom_top": 100,
    }


def test_groups_are_the_best_and_the_worst_and_ties_go_by_name():
    groups = split_groups({"d": 0.5, "a": 0.1, "c": 0.9, "b": 0.5, "e": 0.2}, 2)
    assert groups.top == ("c", "b") and groups.bottom == ("a", "e")


@pytest.mark.parametrize("k", [0, 1, 13])
def test_k_must_fit_the_population(k):
    with pytest.raises(
        UserError, match=f"Two groups of {k} models cannot be taken from a population of 24: choose k from 2 to 12"
    ):
        split_groups({str(i): float(i) for i in range(24)}, k)


def test_pair_values_tell_bottom_from_top_model():
    matrix = np.arange(16.0).reshape(4, 4, 1)
    values = pair_values(matrix, np.array([True, True, False, False]))
    assert values["top_bottom"].ravel().tolist() == [2, 3, 6, 7] and values["bottom_top"].ravel().tolist() == [
        8,
        9,
        12,
        13,
    ]
    assert values["top_top"].ravel().tolist() == [1, 4] and values["bottom_bottom"].ravel().tolist() == [11, 14]


def test_the_fast_gap_equals_a_plain_loop_over_pairs():
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(7, 7, 3))
    is_top = np.array([1, 1, 1, 0, 0, 0, 0], dtype=bool)
    within, between, forth, back, best, worst = [], [], [], [], [], []
    for i, j in itertools.permutations(range(7), 2):
        (within if is_top[i] == is_top[j] else between).append(matrix[i, j])
        if is_top[i] == is_top[j]:
            (best if is_top[i] else worst).append(matrix[i, j])
        if is_top[i] and not is_top[j]:
            forth.append(matrix[i, j])
        if is_top[j] and not is_top[i]:
            back.append(matrix[i, j])
    signs = np.where(is_top, 1.0, -1.0)[None]
    np.testing.assert_allclose(gap(matrix, signs)[0], np.mean(within, 0) - np.mean(between, 0), atol=1e-12)
    np.testing.assert_allclose(level(matrix, signs)[0], np.mean(best, 0) - np.mean(worst, 0), atol=1e-12)
    np.testing.assert_allclose(direction(matrix, signs)[0], np.mean(forth, 0) - np.mean(back, 0), atol=1e-12)


def test_a_planted_late_gap_is_found_late_and_only_there():
    test = permutation_test(population(0, between=0.1), TOP)
    assert test.exact and test.n_splits == 924 and test.n_models == 12
    assert (test.p_adjusted[4:] < 0.01).all() and (test.p_adjusted[:4] > 0.1).all()
    np.testing.assert_allclose(test.effect[4:], 0.1, atol=0.03)
    low, high = jackknife(population(0, between=0.1), TOP)
    assert (low[4:] > 0).all() and (high[4:] < 0.2).all()


def test_p_is_exact_over_all_splits():
    """The largest possible effect is reached by the split and its mirror image alone: 2 of 924."""
    test = permutation_test(population(1, between=5.0), TOP)
    np.testing.assert_allclose(test.p[4:], 2 / 924)
    assert (test.p_adjusted >= test.p).all()


def test_under_the_null_the_corrected_test_is_rarely_significant():
    hits = [(permutation_test(population(seed), TOP).p_adjusted < 0.05).any() for seed in range(60)]
    assert np.mean(hits) <= 0.12


def test_intervals_over_pairs_are_too_narrow_where_pairs_share_models():
    """The paper's interval excludes 0 far too often under the null; the test over models does not."""
    false = 0
    for seed in range(60):
        values = unordered_pair_values(population(seed, layers=1, from_layer=1), TOP)
        _, (low_top, high_top) = over_pairs(values["top_top"])
        _, (low_bottom, high_bottom) = over_pairs(values["bottom_bottom"])
        false += bool(low_top[0] > high_bottom[0] or low_bottom[0] > high_top[0])
    assert false / 60 > 0.2


def test_a_planted_direction_is_found():
    rng = np.random.default_rng(5)
    matrix = 0.01 * rng.normal(size=(12, 12, 2))
    matrix[np.ix_(TOP, ~TOP)] += np.array([0.0, 0.2])
    test = permutation_test(matrix, TOP, "direction")
    assert test.p_adjusted[1] < 0.01 and test.p_adjusted[0] > 0.05 and abs(test.effect[1] - 0.2) < 0.02


def test_large_groups_use_random_splits_of_a_seed():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(20, 20, 2))
    is_top = np.arange(20) < 10
    first, again = (permutation_test(matrix, is_top) for _ in range(2))
    assert (
        not first.exact
        and first.n_splits == 10_001
        and np.array_equal(first.p, again.p)
        and (first.p >= 1 / 10_001).all()
    )


def test_missing_pairs_are_told():
    matrix = population(0)
    matrix[2, 3] = np.nan
    with pytest.raises(UserError, match="1 pairs of models have no value"):
        permutation_test(matrix, TOP)


def test_intervals_over_pairs():
    mean, (low, high) = over_pairs(np.array([[1.0], [2.0], [3.0]]))
    assert (
        mean[0] == 2
        and high[0] - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-4)
        and low[0] == pytest.approx(4 - high[0])
    )
    assert np.isnan(over_pairs(np.array([[1.0]]))[1]).all()
