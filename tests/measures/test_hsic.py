"""HSIC against exact rational arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.measures import hsic1
from repdiss_core.measures.cka import hsic_cross, prepare
from tests.measures.exact import integer_features, u_statistic, v_statistic

SEQUENCES = ([0, 1, 1, 2, 3, 3, 3], [0, 0, 1, 2, 3, 4, 4], [5, 5, 9, 9, 2, 2, 7, 7])


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_hsic1_is_the_mean_over_distinct_four_tuples(n):
    rng = np.random.default_rng(n)
    x, y = integer_features(rng, n, 3), integer_features(rng, n, 5)
    assert hsic1(x @ x.T, y @ y.T) == pytest.approx(float(u_statistic(x, y)), rel=1e-12, abs=1e-12)
    assert hsic1(x @ x.T, x @ x.T) == pytest.approx(float(u_statistic(x, x)), rel=1e-12)


def test_hsic1_takes_tensors_of_any_floating_type_and_returns_a_float():
    x = torch.from_numpy(integer_features(np.random.default_rng(0), 6, 3))
    K = x @ x.T
    expected = hsic1(K.numpy(), K.numpy())
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        value = hsic1(K.to(dtype).requires_grad_(), K.to(dtype))
        assert type(value) is float and value == pytest.approx(expected, rel=1e-12)


def test_hsic1_of_unrelated_features_is_negative_half_the_time():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(200):
        x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
        values.append(hsic1(x @ x.T, y @ y.T))
    assert 60 < sum(v < 0 for v in values) < 140
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_hsic1_keeps_its_digits_under_a_large_mean():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 8)), rng.normal(size=(50, 8))
    z = x + 1e5
    assert hsic1(z @ z.T, y @ y.T) == pytest.approx(hsic1(x @ x.T, y @ y.T), abs=1e-5)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
@pytest.mark.parametrize("estimator, exact", [("unbiased", u_statistic), ("biased", v_statistic)])
def test_kernel_agrees_with_exact_arithmetic(n, estimator, exact):
    rng = np.random.default_rng(10 + n)
    f = [integer_features(rng, n, 3), integer_features(rng, n, 4)]
    g = [integer_features(rng, n, 2), integer_features(rng, n, 6), f[0]]
    pf, pg = (prepare([torch.tensor(x, dtype=torch.float32) for x in layers], estimator) for layers in (f, g))
    expected = [[float(exact(x, y)) for y in g] for x in f]
    np.testing.assert_allclose(hsic_cross(pf, pg), expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(pf.self_hsic, [float(exact(x, x)) for x in f], rtol=1e-11)


@pytest.mark.parametrize("sequences", SEQUENCES)
def test_sequence_aware_is_the_mean_over_four_distinct_sequences(sequences):
    rng = np.random.default_rng(len(sequences) + sequences[0])
    f = [integer_features(rng, len(sequences), 3), integer_features(rng, len(sequences), 2)]
    g = [integer_features(rng, len(sequences), 4)]
    pf, pg = (
        prepare([torch.tensor(x, dtype=torch.float32) for x in layers], "sequence_aware", sequences)
        for layers in (f, g)
    )
    expected = [[float(u_statistic(x, y, sequences)) for y in g] for x in f]
    np.testing.assert_allclose(hsic_cross(pf, pg), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(pf.self_hsic, [float(u_statistic(x, x, sequences)) for x in f], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n", [9, 300])
def test_sequence_aware_with_one_token_a_sequence_is_hsic1(n):
    rng = np.random.default_rng(0)
    f, g = ([torch.from_numpy(rng.normal(size=(n, 7))).float() for _ in range(2)] for _ in range(2))
    ids = rng.permutation(n)
    aware = hsic_cross(prepare(f, "sequence_aware", ids), prepare(g, "sequence_aware", ids))
    plain, scale = hsic_cross(prepare(f), prepare(g)), np.sqrt(np.outer(prepare(f).self_hsic, prepare(g).self_hsic))
    np.testing.assert_allclose(aware / scale, plain / scale, atol=2e-8)


def test_sequence_aware_removes_what_sequences_share():
    """Unrelated features that are each 70 % a property of the sequence: HSIC₁-CKA is far above 0, the truth."""
    rng = np.random.default_rng(0)
    ids, plain, aware = np.repeat(np.arange(16), 32), [], []
    for _ in range(12):
        f, g = (
            prepare_both(np.sqrt(0.7) * rng.normal(size=(16, 8))[ids] + np.sqrt(0.3) * rng.normal(size=(512, 8)), ids)
            for _ in range(2)
        )
        plain.append(hsic_cross(f[0], g[0]).item() / np.sqrt(f[0].self_hsic * g[0].self_hsic).item())
        aware.append(hsic_cross(f[1], g[1]).item() / np.sqrt(f[1].self_hsic * g[1].self_hsic).item())
    assert np.mean(plain) > 0.15
    assert abs(np.mean(aware)) < 3 * np.std(aware, ddof=1) / np.sqrt(len(aware)) + 0.01


def prepare_both(x, ids):
    x = torch.from_numpy(x).float()
    return prepare([x]), prepare([x], "sequence_aware", ids)


@pytest.mark.parametrize(
    "K, L, match",
    [
        (np.eye(3), np.eye(3), r"at least 4 tokens, and this batch holds 3"),
        (np.ones((4, 5)), np.eye(4), r"K has shape \(4, 5\), but a Gram matrix is square"),
        (np.eye(4), np.ones(4), r"L has shape \(4,\), but a Gram matrix is square"),
        (np.eye(4), np.eye(5), r"K is 4 × 4 but L is 5 × 5"),
        (np.triu(np.ones((4, 4))), np.eye(4), r"K is not symmetric \(largest difference 1\)"),
        (np.eye(4), np.diag([1, np.nan, 1, 1]), r"L holds NaN or infinite numbers"),
        (np.diag([1, np.inf, 1, 1]), np.eye(4), r"K holds NaN or infinite numbers"),
    ],
)
def test_hsic1_says_what_is_wrong(K, L, match):
    with pytest.raises(UserError, match=match):
        hsic1(K, L)


@pytest.mark.parametrize(
    "ids, match",
    [
        (None, r'"sequence_aware" needs to know which sequence each token belongs to.*8 tokens'),
        ([0, 1, 2, 3], r"sequence_ids has shape \(4,\), but there are 8 tokens"),
        ([0, 0, 0, 1, 1, 1, 2, 2], r"tokens of 4 different sequences, and this batch holds 3"),
    ],
)
def test_sequence_aware_says_what_is_wrong(ids, match):
    with pytest.raises(UserError, match=match):
        prepare([torch.randn(8, 3)], "sequence_aware", ids)
