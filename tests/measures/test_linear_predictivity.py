"""Linear predictivity against ridge regression on the rows themselves, its directions, and its sentences."""

from __future__ import annotations

import feature_cases as cases
import numpy as np
import pytest
import slow_forms as slow
import torch

from repdiss_core.base.errors import UserError
from repdiss_core.measures import linear_predictivity as lp


def batches(
    count: int, n: int = 50, widths: tuple[int, ...] = (6, 4), seed: int = 0, scale: float = 1.0
) -> tuple[list, list]:
    """Batches of f and of g = f W + noise, whose means differ from batch to batch."""
    rng = np.random.default_rng(seed)
    maps = [np.random.default_rng(7).normal(size=(d, d + 1)) for d in widths]
    f, g = [], []
    for _ in range(count):
        f.append([scale * (rng.normal(size=(n, d)) + 2.0 * rng.normal(size=d)) for d in widths])
        g.append([x @ w + scale * 0.7 * rng.normal(size=(n, w.shape[1])) for x, w in zip(f[-1], maps, strict=True)])
    return f, g


def reference(fit_f: list, fit_g: list, score_f: list, score_g: list, ridge: float) -> np.ndarray:
    """(L_f, L_g) by the slow form."""
    return np.array(
        [
            [
                slow.linear_predictivity(
                    np.concatenate([b[row] for b in fit_f]).astype(float),
                    np.concatenate([b[column] for b in fit_g]).astype(float),
                    [(a[row].astype(float), b[column].astype(float)) for a, b in zip(score_f, score_g, strict=True)],
                    ridge,
                )
                for column in range(len(fit_g[0]))
            ]
            for row in range(len(fit_f[0]))
        ]
    )


def as_float32(side: list) -> list:
    """The same batches in float32."""
    return [[x.astype(np.float32) for x in batch] for batch in side]


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 0.5])
def test_every_cell_in_both_directions_is_ridge_regression_on_the_rows(ridge):
    (ff, fg), (sf, sg) = batches(3), batches(2, seed=1)
    forward = lp.linear_predictivity_matrix(ff, fg, sf, sg, ridge)
    np.testing.assert_allclose(forward, reference(ff, fg, sf, sg, ridge), atol=1e-10)
    backward = lp.linear_predictivity_matrix(ff, fg, sf, sg, ridge, direction="backward")
    np.testing.assert_allclose(backward, reference(fg, ff, sg, sf, ridge).T, atol=1e-10)
    assert np.abs(forward - backward).max() > 1e-2, "the two directions differ"


@pytest.mark.parametrize("name", ["plain", "far", "massive", "small", "large"])
def test_float32_keeps_its_digits(name):
    (ff, fg), (sf, sg) = batches(2, 300, (64,)), batches(2, 300, (64,), seed=1)
    for batch in ff + sf:
        if name == "far":
            batch[0][:, 3] += 1000.0
        if name == "massive":
            batch[0][5] *= 1000.0
        batch[0] *= {"small": 1e-20, "large": 1e15}.get(name, 1.0)
    sides = [as_float32(side) for side in (ff, fg, sf, sg)]
    np.testing.assert_allclose(lp.linear_predictivity_matrix(*sides), reference(*sides, lp.RIDGE), atol=1e-5, rtol=1e-5)


def test_equal_input_is_1_but_for_the_ridge_and_independent_input_at_most_0():
    f, _ = batches(4)
    own = lp.linear_predictivity_matrix(f[:2], f[:2], f[2:], f[2:], 1e-6)
    assert (own.diagonal() > 1 - 1e-9).all() and (own <= 1.0).all()
    rng = np.random.default_rng(0)
    x, y = ([[rng.normal(size=(128, 16))] for _ in range(40)] for _ in range(2))
    values = [
        lp.linear_predictivity_matrix(x[i : i + 1], y[i : i + 1], x[i + 1 : i + 2], y[i + 1 : i + 2])[0, 0]
        for i in range(0, 40, 2)
    ]
    assert max(values) < 0.0 and -0.4 < np.mean(values) < -0.05


def test_rotation_scale_and_shift_of_either_side_change_nothing():
    (ff, fg), (sf, sg) = batches(3, widths=(6,)), batches(2, widths=(6,), seed=1)
    before = lp.linear_predictivity_matrix(ff, fg, sf, sg)
    for width in (6, 7):
        rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(width, width)))[0]
        changes = [lambda x, r=rotation: x @ r, lambda x: 40.0 * x, lambda x: x + np.arange(x.shape[1])]
        skew = rotation @ np.diag([30.0, 9.0, *([1.0] * (width - 3)), 0.01])
        for change, same in [(c, True) for c in changes] + [(lambda x, s=skew: x @ s, False)]:
            sides = [[[change(b[0])] for b in side] for side in ((ff, sf) if width == 6 else (fg, sg))]
            changed = (sides[0], fg, sides[1], sg) if width == 6 else (ff, sides[0], sf, sides[1])
            gap = abs(lp.linear_predictivity_matrix(*changed) - before).max()
            assert gap < 1e-10 if same else gap > 1e-4, gap


def test_the_layers_of_equal_number_alone():
    (ff, fg), (sf, sg) = batches(3), batches(2, seed=1)
    everything = lp.linear_predictivity_matrix(ff, fg, sf, sg)
    same = lp.linear_predictivity_matrix(ff, fg, sf, sg, pairs="same_layer")
    np.testing.assert_array_equal(same.diagonal(), everything.diagonal())
    assert np.isnan(same[~np.eye(2, dtype=bool)]).all()


def test_batches_add_up_whatever_their_order_and_sizes():
    f, g = batches(2)
    more_f, more_g = batches(1, n=31, seed=4)
    statistics = None
    for x, y in zip(f + more_f, g + more_g, strict=True):
        statistics = lp.accumulate(statistics, lp.prepare(x), lp.prepare(y))
    rows, columns = (np.concatenate([b[0] for b in side]) for side in (f + more_f, g + more_g))
    np.testing.assert_allclose(
        statistics.products[0, 0], (rows - rows.mean(axis=0)).T @ (columns - columns.mean(axis=0)), atol=1e-10
    )
    np.testing.assert_allclose(statistics.f.squares[0], np.cov(rows.T) * (len(rows) - 1), atol=1e-10)
    np.testing.assert_allclose(statistics.g.means[0], columns.mean(axis=0), atol=1e-12)
    assert statistics.f.n_tokens == 131


def test_sums_of_squares_are_made_once_a_batch():
    f, g = batches(1)
    prepared = lp.prepare(f[0])
    first = prepared.squares[0].clone()
    for _ in range(2):
        lp.accumulate(lp.accumulate(None, prepared, lp.prepare(g[0])), prepared, lp.prepare(g[0]))
    assert torch.equal(prepared.squares[0], first), "what is shared is not changed by what reads it"


def test_a_layer_that_does_not_vary():
    (ff, fg), (sf, sg) = batches(3), batches(2, seed=1)
    for batch in ff + sf:
        batch[1][:] = 2.5
    statistics = None
    for x, y in zip(ff, fg, strict=True):
        statistics = lp.accumulate(statistics, lp.prepare(x), lp.prepare(y))
    maps = lp.fit(statistics)
    scores = lp.Scores.joined([lp.score(maps, lp.prepare(x), lp.prepare(y)) for x, y in zip(sf, sg, strict=True)])
    forward, backward = scores.predictivity("forward"), scores.predictivity("backward")
    assert np.isnan(forward[1]).all() and np.isnan(backward[1]).all()
    assert np.isfinite(forward[0]).all() and np.isfinite(backward[0]).all()
    assert "f: layer 2 predicts nothing: its features are the same for every fitting token" in scores.notes
    assert "f: layer 2 has no linear predictivity: its features are the same for every token" in scores.notes


@pytest.mark.parametrize(
    "change, match",
    [
        ({"ridge": 0.0}, "a multiple of the mean eigenvalue above 0; 0 was given"),
        ({"ridge": float("nan")}, "a multiple of the mean eigenvalue above 0; nan was given"),
        ({"direction": "both"}, "has the directions forward, backward; 'both' was asked for"),
        ({"pairs": "some"}, "for the pairs all or same_layer; 'some' was asked for"),
        ({"fit_g": []}, "f has 3 fitting batches and g has 0"),
        ({"score_f": []}, "f has 0 scored batches and g has 2"),
    ],
)
def test_bad_settings_say_what_is_expected(change, match):
    (ff, fg), (sf, sg) = batches(3), batches(2, seed=1)
    arguments = {"fit_f": ff, "fit_g": fg, "score_f": sf, "score_g": sg} | change
    with pytest.raises(UserError, match=match):
        lp.linear_predictivity_matrix(**arguments)


def test_bad_batches_say_what_would_do():
    f, g = batches(1, n=6)
    with pytest.raises(UserError, match="of 6 features was to be fitted on 6 tokens; .* fit on at least 7 tokens"):
        lp.linear_predictivity_matrix(f, g, f, g)
    assert lp.least_tokens(6, 5) == 7
    statistics = lp.accumulate(None, lp.prepare(batches(1)[0][0]), lp.prepare(batches(1)[1][0]))
    other_f, other_g = batches(1, widths=(3, 4))
    with pytest.raises(UserError, match=r"Layers of f have \(3, 4\) features in this batch and had \(6, 4\)"):
        lp.accumulate(statistics, lp.prepare(other_f[0]), lp.prepare(other_g[0]))
    with pytest.raises(UserError, match="the models have 2 and 1: compare models of one depth"):
        lp.accumulate(None, lp.prepare(f[0]), lp.prepare(g[0][:1]), "same_layer")
    cases.check_bad_features(lambda x, y: lp.linear_predictivity_matrix([x], [y], [x], [y]))


def test_cost():
    assert lp.flops(1024, 512, 512, 12, 12) == 2.0 * 1024 * 512**2 * (12 + 12 + 144)
