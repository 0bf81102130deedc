"""Massive tokens: what a few planted rows do to unbiased CKA, and that dropping or scaling them undoes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.measures import cka_matrix
from repdiss_core.measures.hsic import hsic1
from repdiss_core.measures.massive import (
    CHOICES,
    MULTIPLE,
    NAMED_TOKENS,
    check_choice,
    find_massive,
    normalised,
    share_of_hsic,
    share_of_squares,
)

N, D = 400, 24
PLANTED = [17, 211]


def features(seed: int, massive: float = 0.0) -> torch.Tensor:
    """(N, D) independent rows; where `massive`, two of them are 200 times as long and point the same way (1) or
    opposite ways (-1)."""
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(seed))
    if massive:
        x[PLANTED[0]] *= 200
        x[PLANTED[1]] = massive * x[PLANTED[0]]
    return x


def cka(f: torch.Tensor, g: torch.Tensor, treatment: str) -> float:
    """Unbiased CKA of one layer each, treated as the engine treats them."""
    if treatment == "dropped":
        keep = ~torch.from_numpy(find_massive([f]).is_massive | find_massive([g]).is_massive)
        f, g = f[keep], g[keep]
    elif treatment == "normalised":
        f, g = normalised(f), normalised(g)
    return float(cka_matrix([[f]], [[g]]).values[0, 0])


def test_two_shared_massive_rows_make_independent_features_look_alike() -> None:
    f, g = features(0, massive=1), features(1, massive=1)
    assert cka(f, g, "kept") > 0.99
    assert abs(cka(f, g, "dropped")) < 0.05
    assert abs(cka(f, g, "normalised")) < 0.05


def test_rows_that_point_the_same_way_in_one_model_and_apart_in_the_other_make_them_look_opposite() -> None:
    f, g = features(0, massive=1), features(1, massive=-1)
    assert cka(f, g, "kept") < -0.9
    assert abs(cka(f, g, "dropped")) < 0.05


def test_massive_rows_of_one_model_alone_hide_that_the_rest_is_the_same() -> None:
    f = features(0)
    g = f.clone()
    g[PLANTED] *= 200
    assert abs(cka(f, g, "kept")) < 0.15
    assert cka(f, g, "dropped") == pytest.approx(1.0, abs=1e-6)
    assert cka(f, g, "normalised") == pytest.approx(1.0, abs=1e-6)


def test_without_massive_rows_nothing_is_dropped() -> None:
    f, g = features(0), features(1)
    assert not find_massive([f]).is_massive.any()
    assert cka(f, g, "dropped") == cka(f, g, "kept")


def test_rows_are_massive_where_any_layer_says_so_and_peaks_are_each_layers() -> None:
    x = torch.ones(9, 4)
    x[3] *= MULTIPLE * 1.01
    y = torch.ones(9, 4)
    y[5] *= MULTIPLE * 0.99
    y[7] *= 80
    found = find_massive([x, y])
    assert np.flatnonzero(found.is_massive).tolist() == [3, 7]
    assert found.peak == pytest.approx([MULTIPLE * 1.01, 80])
    assert np.flatnonzero(find_massive([x, y], multiple=3).is_massive).tolist() == [3, 5, 7]


def test_the_strongest_tokens_are_named_strongest_first() -> None:
    x = torch.ones(30, 2)
    strengths = {4: 10.0, 11: 90.0, 20: 30.0}
    for row, strength in strengths.items():
        x[row] *= strength
    named = find_massive([x]).tokens(1000 + np.arange(30))
    assert named.tolist() == [1011, 1020, 1004, *[-1] * (NAMED_TOKENS - 3)]
    many = torch.ones(60, 2)
    many[:12] *= torch.arange(12, 24)[:, None]
    assert find_massive([many]).tokens(np.arange(60)).tolist() == list(range(11, 11 - NAMED_TOKENS, -1))


def test_normalised_rows_have_length_one_and_rows_of_zeros_stay() -> None:
    x = features(2)
    x[5] = 0
    lengths = torch.linalg.vector_norm(normalised(x), dim=1)
    assert lengths[5] == 0
    assert torch.allclose(lengths[torch.arange(N) != 5], torch.ones(N - 1))


def test_bad_choices_are_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="above 1; 1 was given"):
        find_massive([features(0)], multiple=1.0)
    with pytest.raises(UserError, match="kept, dropped, normalised; 'removed' was asked for"):
        check_choice("removed", "token")
    with pytest.raises(UserError, match="only where rows are tokens; here each row is a sequence"):
        check_choice("dropped", "sample")
    for choice in CHOICES:
        check_choice(choice, "token")


def test_the_share_of_hsic_is_that_of_its_definition_whether_the_self_term_is_known_or_not() -> None:
    x = features(3, massive=1).double()
    rows = find_massive([x]).in_layer[0]
    assert np.flatnonzero(rows).tolist() == PLANTED
    known = hsic1(x @ x.T, x @ x.T)
    without = x[~torch.from_numpy(rows)]
    n, left = N, N - 2
    rest = hsic1(without @ without.T, without @ without.T) * left * (left - 3)
    share = share_of_hsic(x, rows, known)
    assert share == pytest.approx(share_of_hsic(x, rows), rel=1e-9)
    assert share == pytest.approx(1 - rest / (known * n * (n - 3)), abs=1e-3)
    assert share_of_hsic(x, np.zeros(N, bool)) == share_of_squares(x, np.zeros(N, bool)) == 0
    assert share_of_hsic(torch.ones(9, 3), np.arange(9) == 2) == 0
