"""Tokens' alignment: it adds up to HSIC₁, and a token that two layers place differently is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.measures import hsic1
from repdiss_core.measures.token_alignment import token_alignment

RNG = np.random.default_rng(3)
N = 40


def test_contributions_add_up_to_hsic1() -> None:
    f, g = RNG.normal(size=(N, 7)), RNG.normal(size=(N, 5)) + 3.0
    found = token_alignment(f, torch.from_numpy(g))
    assert found.contribution.shape == (N,)
    assert found.hsic1 == pytest.approx(hsic1(f @ f.T, g @ g.T), rel=1e-9)


def test_equal_layers_are_aligned_everywhere_also_after_rotation_and_scale() -> None:
    f = RNG.normal(size=(N, 6))
    rotated = 12.0 * f @ np.linalg.qr(RNG.normal(size=(6, 6)))[0] + 5.0
    np.testing.assert_allclose(token_alignment(f, rotated).cosine, 1.0, atol=1e-9)


def test_the_tokens_that_differ_are_found() -> None:
    f = RNG.normal(size=(N, 20))
    g, moved = f.copy(), [4, 17, 30]
    g[moved] = RNG.normal(size=(3, 20))
    assert set(np.argsort(token_alignment(f, g).cosine)[:3]) == set(moved)


def test_a_massive_token_takes_the_sum_but_not_the_cosine_of_the_others() -> None:
    f = RNG.normal(size=(N, 20))
    g = RNG.normal(size=(N, 20))
    f[9], g[9] = 500.0 * f[9], 500.0 * g[9]
    found = token_alignment(f, g)
    others = np.arange(N) != 9
    assert abs(found.contribution[9]) > 10 * np.median(np.abs(found.contribution[others]))
    # Each row tells its place beside the massive one
    assert np.abs(found.cosine).max() <= 1.0 and np.abs(found.cosine[others]).mean() > 0.5


def test_bad_features_are_told() -> None:
    f = RNG.normal(size=(N, 3))
    with pytest.raises(UserError, match="f has 40 tokens and g has 39"):
        token_alignment(f, f[1:])
    with pytest.raises(UserError, match="at least 4 tokens"):
        token_alignment(f[:3], f[:3])
    with pytest.raises(UserError, match="Features of g hold NaN"):
        token_alignment(f, np.where(np.eye(N, 3) > 0, np.nan, f))
    with pytest.raises(UserError, match=r"Features of f have shape \(40,\)"):
        token_alignment(f[:, 0], f)
