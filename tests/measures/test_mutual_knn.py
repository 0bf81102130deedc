"""Mutual and Jaccard nearest neighbours against loops over sets, ties, other sequences, and their sentences."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow

from repdiss_core.base.errors import UserError
from repdiss_core.measures import jaccard_knn, mutual_knn
from repdiss_core.measures.shared import BatchContext, LayerPreparations

MEASURES = [
    pytest.param(mutual_knn, mutual_knn.mutual_knn_matrix, slow.mutual_knn, "mutual k-NN", id="mutual"),
    pytest.param(jaccard_knn, jaccard_knn.jaccard_knn_matrix, slow.jaccard_knn, "Jaccard k-NN", id="jaccard"),
]
IDS = np.repeat(np.arange(6), 10)


@pytest.mark.parametrize("module, matrix, reference, label", MEASURES)
def test_every_cell_is_the_mean_over_tokens(module, matrix, reference, label):
    for k in (1, 10, 58):
        cases.check_against(matrix, reference, k=k)
    f, g = cases.layers(), cases.layers(seed=1)
    values = matrix(f, g, k=5, neighbours="other_sequences", sequence_ids=IDS)
    np.testing.assert_allclose(values, [[reference(x, y, 5, IDS) for y in g] for x in f], atol=1e-12)
    assert np.abs(values - matrix(f, g, k=5)).max() > 1e-3
    cases.check_float32(matrix, reference, 1e-3)  # 3 of 3000 neighbours may change places


@pytest.mark.parametrize("module, matrix, reference, label", MEASURES)
def test_what_changes_it(module, matrix, reference, label):
    cases.check_self_and_symmetry(matrix)
    cases.check_changes(matrix, {"rotation", "scale", "shift"}, {"invertible"})
    cases.check_constant_layers(module.prepare, module.cross, label)
    cases.check_bad_features(matrix)


def test_independent_features_reach_the_chance_level():
    cases.check_independent(mutual_knn.mutual_knn_matrix, 0.079, 0.002)
    cases.check_independent(jaccard_knn.jaccard_knn_matrix, jaccard_knn.chance(128), 0.002)
    assert mutual_knn.chance(128) == pytest.approx(10 / 127)
    assert mutual_knn.chance(11) == jaccard_knn.chance(11) == 1.0


@pytest.mark.parametrize("n", [30, 300])
def test_of_equally_near_tokens_the_first_are_taken(n):
    rng = np.random.default_rng(0)
    x = np.where(np.arange(n)[:, None] % 2, 1.0, -1.0) * np.array([[1.0, 0.0]])  # two kinds of token: all are tied
    y = rng.normal(size=(n, 4))
    lists = mutual_knn.prepare([x, y], BatchContext(settings={"k": 4}))
    assert lists.index[0, 0].sort().values.tolist() == [2, 4, 6, 8]
    assert lists.index[0, 5].sort().values.tolist() == [1, 3, 7, 9]
    same = [[j for j in range(n) if j % 2 == i % 2 and j != i][:4] for i in range(n)]
    expected = np.mean([len(set(a) & set(b)) / 4 for a, b in zip(same, slow.neighbours(y, 4), strict=True)])
    assert mutual_knn.cross(lists, lists)[0, 1] == pytest.approx(expected, abs=1e-12)


def test_many_neighbours_need_no_more_than_the_tokens_there_are():
    f = cases.layers(300)
    g = cases.layers(300, seed=1)
    assert mutual_knn.mutual_knn_matrix(f[:1], g[:1], k=280)[0, 0] == slow.mutual_knn(f[0], g[0], 280)
    assert mutual_knn.mutual_knn_matrix(f, g, k=299).min() == 1.0


def test_lists_are_made_once_for_all_measures():
    shared = LayerPreparations(cases.layers())
    first, second = mutual_knn.prepare(shared), jaccard_knn.prepare(shared)
    assert first.index is second.index and first.place is second.place and len(shared.lists) == 1


@pytest.mark.parametrize(
    "settings, match",
    [
        (
            {"k": 60},
            "60 neighbours need batches of at least 61 tokens, .* holds 60: use larger .* or k of at most 59",
        ),
        ({"k": 0}, "k is a whole number of at least 1; 0 was given"),
        ({"k": 2.5}, "k is a whole number of at least 1; 2.5 was given"),
        ({"neighbours": "near"}, "among all or other_sequences; 'near' was asked for"),
        (
            {"neighbours": "other_sequences"},
            "need to know which sequence each token belongs to: give sequence_ids for the 60",
        ),
        (
            {"k": 51, "neighbours": "other_sequences", "sequence_ids": IDS},
            "need batches of at least 61 tokens where one sequence holds 10, and this batch holds 60",
        ),
        (
            {"neighbours": "other_sequences", "sequence_ids": IDS[:9]},
            r"sequence_ids has shape \(9,\), but there are 60 tokens",
        ),
    ],
)
def test_bad_settings_say_what_would_do(settings, match):
    for matrix in (mutual_knn.mutual_knn_matrix, jaccard_knn.jaccard_knn_matrix):
        with pytest.raises(UserError, match=match):
            matrix(cases.layers(), cases.layers(), **settings)


def test_sides_prepared_unlike_are_refused():
    ten, five = (mutual_knn.prepare(cases.layers(), BatchContext(settings={"k": k})) for k in (10, 5))
    with pytest.raises(UserError, match="f was prepared with 10 neighbours from all tokens and g with 5 neighbours"):
        mutual_knn.cross(ten, five)


def test_cost_and_smallest_batch():
    assert mutual_knn.least_tokens(8, 8) == 11 and mutual_knn.least_tokens(8, 8, 5) == 6
    assert mutual_knn.flops(1024, 512, 512, 12, 12) == pytest.approx(24 * 1024**2 * 512, rel=0.01)
