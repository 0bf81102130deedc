"""RSA against scipy, its ties, and its sentences."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow
import torch
from scipy.stats import rankdata

from repdiss_core.base.errors import UserError
from repdiss_core.measures import rsa
from repdiss_core.measures.shared import BatchContext

PEARSON = BatchContext(settings={"correlation": "pearson"})


@pytest.mark.parametrize("correlation", rsa.CORRELATIONS)
def test_every_cell_is_the_correlation_of_dissimilarities(correlation):
    cases.check_against(rsa.rsa_matrix, slow.rsa, correlation=correlation)
    cases.check_float32(rsa.rsa_matrix, slow.rsa, 3e-6, correlation=correlation)


@pytest.mark.parametrize("correlation", rsa.CORRELATIONS)
def test_what_changes_it(correlation):
    cases.check_self_and_symmetry(rsa.rsa_matrix, correlation=correlation)
    cases.check_changes(rsa.rsa_matrix, {"scale", "shift"}, {"rotation", "invertible"}, correlation=correlation)


def test_ties_share_their_mean_rank():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(5, 6))[rng.integers(5, size=40)]  # 40 tokens of 5 kinds: most pairs are tied
    other = rng.normal(size=(40, 6))
    upper = np.triu_indices(40, 1)
    dissimilarity = (1 - np.corrcoef(few - few.mean(axis=0)))[upper].round(9)
    expected = slow.spearmanr(dissimilarity, (1 - np.corrcoef(other - other.mean(axis=0)))[upper]).statistic
    assert len(np.unique(dissimilarity)) <= 11
    assert abs(rsa.rsa_matrix([few], [other])[0, 0] - expected) < 1e-12
    large = np.tile(few, (8, 1)).astype(np.float32), np.tile(other, (8, 1)).astype(np.float32)  # 320 tokens: float32
    upper = np.triu_indices(320, 1)
    rounded = [(1 - np.corrcoef(x.astype(float) - x.astype(float).mean(axis=0)))[upper].round(6) for x in large]
    assert abs(rsa.rsa_matrix([large[0]], [large[1]])[0, 0] - slow.spearmanr(*rounded).statistic) < 1e-5


def test_ranks_are_those_of_scipy():
    values = torch.tensor([0.5, -0.25, 0.5, 0.0, -0.0, 0.75, -0.25, 0.5])
    for dtype in (torch.float32, torch.float64):
        np.testing.assert_array_equal(rsa._centred_ranks(values.to(dtype)).numpy(), rankdata(values.numpy()) - 4.5)


def test_rows_that_hardly_vary_over_features_keep_their_digits():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1)) * 100.0 + 0.3 * rng.normal(size=(300, 32))  # nearly all of a row is its mean
    y = x + 0.1 * rng.normal(size=x.shape)
    f, g = x.astype(np.float32), y.astype(np.float32)
    assert abs(rsa.rsa_matrix([f], [g])[0, 0] - slow.rsa(f.astype(float), g.astype(float))) < 1e-4


def test_independent_features_and_degenerate_layers():
    cases.check_independent(rsa.rsa_matrix, 0.001, 0.005)
    cases.check_constant_layers(rsa.prepare, rsa.cross, "RSA")
    single = rsa.prepare([np.arange(20.0)[:, None], cases.layers(20)[0]])
    assert single.notes == ("layer 1 has no RSA: all pairs of its tokens are equally far apart",)
    assert np.isnan(rsa.cross(single, single)[0]).all() and rsa.cross(single, single)[1, 1] == 1.0


def test_bad_input_says_what_would_do():
    cases.check_bad_features(rsa.rsa_matrix)
    with pytest.raises(
        UserError, match="RSA needs at least 3 tokens, and this batch holds 2: use batches of at least 3"
    ):
        rsa.rsa_matrix(cases.layers(2), cases.layers(2))
    with pytest.raises(UserError, match="by spearman or pearson; 'kendall' was asked for"):
        rsa.rsa_matrix(cases.layers(), cases.layers(), correlation="kendall")
    with pytest.raises(
        UserError, match="f was prepared for spearman correlation and g for pearson: prepare both alike"
    ):
        rsa.cross(rsa.prepare(cases.layers()), rsa.prepare(cases.layers(), PEARSON))


def test_cost_grows_as_declared():
    assert rsa.flops(1024, 512, 512, 12, 12) == pytest.approx(24 * 1024**2 * 512, rel=0.2)
    assert rsa.least_tokens(512, 512) == 3
