"""The chance level against enumeration, under the null, and with something to be seen."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from repdiss_core.analysis.chance import (
    add_one_p,
    chance_level,
    cka_window,
    corrected_value,
    false_discovery_rate,
    least_batches,
    least_permutations,
    permuted_means,
)
from repdiss_core.base.errors import UserError


def null_windows(
    rng: np.random.Generator, n_windows: int = 2, w: int = 8, shape: tuple[int, int] = (3, 4)
) -> list[np.ndarray]:
    """Values under "g read another text": batches of f and of g have effects of their own, cells are correlated."""
    windows = []
    for _ in range(n_windows):
        of_f, of_g, noise = rng.normal(size=(w, 1, 1, 1)), rng.normal(size=(1, w, 1, 1)), rng.normal(size=(w, w, 1, 1))
        windows.append(0.2 + 0.02 * (of_f + of_g + noise) + 0.02 * rng.normal(size=(w, w, *shape)))
    return windows


def with_effect(windows: list[np.ndarray], cell: tuple[int, int], size: float) -> list[np.ndarray]:
    """The same with one cell higher where the texts are the same."""
    raised = [w.copy() for w in windows]
    for w in raised:
        index = np.arange(len(w))
        w[index, index, cell[0], cell[1]] += size
    return raised


def test_permuted_means_are_those_of_every_pairing():
    rng = np.random.default_rng(0)
    windows = [rng.normal(size=(3, 3, 5)), rng.normal(size=(2, 2, 5))]
    every = []
    for first in permutations(range(3)):
        for second in permutations(range(2)):
            picked = [windows[0][a, b] for a, b in enumerate(first)] + [windows[1][a, b] for a, b in enumerate(second)]
            every.append(np.mean(picked, axis=0))
    means = permuted_means(windows, 400)
    np.testing.assert_allclose(means[0], every[0], atol=1e-12)
    nearest = [int(np.argmin(np.abs(np.array(every) - row).sum(axis=1))) for row in means[1:]]
    np.testing.assert_allclose(means[1:], np.array(every)[nearest], atol=1e-12)
    counts = np.bincount(nearest, minlength=12)
    assert (counts > 15).all() and (counts < 60).all(), "every pairing is as likely as another"


def test_many_cells_go_in_parts(monkeypatch):
    windows = [np.random.default_rng(0).normal(size=(4, 4, 50))]
    whole = permuted_means(windows, 99)
    monkeypatch.setattr("repdiss_core.analysis.chance.CELLS_AT_ONCE", 700)
    np.testing.assert_allclose(permuted_means(windows, 99), whole, atol=1e-14)


def test_every_number_is_what_its_name_says():
    windows = with_effect(null_windows(np.random.default_rng(1)), (1, 2), 0.1)
    result = chance_level(windows)
    stacked = [w.reshape(8, 8, 12) for w in windows]
    means = permuted_means(stacked, 999)
    np.testing.assert_allclose(result.values, np.mean([w[i, i] for w in windows for i in range(8)], axis=0), atol=1e-12)
    off = [w[a, b] for w in windows for a in range(8) for b in range(8) if a != b]
    np.testing.assert_allclose(result.mismatched, np.mean(off, axis=0), atol=1e-12)
    ordered = np.sort(means, axis=0)
    np.testing.assert_allclose(result.level.reshape(-1), ordered[949], atol=1e-12)  # the 950th of 1000
    np.testing.assert_allclose(
        result.p.reshape(-1), [(means[:, c] >= means[0, c] - 1e-12).sum() / 1000 for c in range(12)]
    )
    highest = means.max(axis=1)
    np.testing.assert_allclose(result.p_max.reshape(-1), [(highest >= v - 1e-12).sum() / 1000 for v in means[0]])
    rows = means.reshape(-1, 3, 4).max(axis=2)
    np.testing.assert_allclose(result.p_best_f, (rows >= rows[0] - 1e-12).mean(axis=0))
    columns = means.reshape(-1, 3, 4).max(axis=1)
    np.testing.assert_allclose(result.p_best_g, (columns >= columns[0] - 1e-12).mean(axis=0))
    assert result.p_highest == (highest >= highest[0] - 1e-12).mean() == result.p_max.min()
    assert result.p_mean == (means.mean(axis=1) >= means[0].mean() - 1e-12).mean()
    assert (result.n_batches, result.n_permutations) == (16, 999)
    assert result.p[1, 2] == 0.001 == result.p_highest and result.q[1, 2] == pytest.approx(0.012)
    assert result.corrected[1, 2] == pytest.approx(
        (result.values[1, 2] - result.level[1, 2]) / (1 - result.level[1, 2])
    )


def test_under_the_null_p_is_small_as_often_as_it_says():
    rng = np.random.default_rng(2)
    results = [chance_level(null_windows(rng), 199, seed=i) for i in range(400)]
    for name in ("p_highest", "p_mean"):
        share = np.mean([getattr(r, name) <= 0.05 for r in results])
        assert 0.02 <= share <= 0.08, (name, share)
    for name in ("p", "p_best_f", "p_best_g"):
        share = np.mean([getattr(r, name) <= 0.05 for r in results])
        assert 0.03 <= share <= 0.07, (name, share)
        half = np.mean([getattr(r, name) <= 0.5 for r in results])
        assert 0.44 <= half <= 0.56, (name, half)
    assert np.mean([(r.p_max <= 0.05).any() for r in results]) <= 0.08, "some cell of the map"
    assert np.mean([(r.q <= 0.05).any() for r in results]) <= 0.08, "some discovery at all"
    positive = np.mean([r.corrected > 0 for r in results])
    assert positive <= 0.06, "the corrected value is 0 but for the share that α allows"
    assert np.mean([r.corrected for r in results]) < 1e-3


def test_the_level_covers_a_new_mean_of_mismatched_text():
    rng = np.random.default_rng(3)
    covered = []
    for i in range(300):
        windows = null_windows(rng, n_windows=3)
        new = [w[np.arange(8), rng.permutation(8)] for w in windows]
        covered.append((np.mean(np.concatenate(new), axis=0) <= chance_level(windows, 199, seed=i).level).mean())
    assert 0.93 <= np.mean(covered) <= 0.98


def test_an_effect_is_seen_where_it_is_and_nowhere_else():
    rng = np.random.default_rng(4)
    hits, false = [], []
    for i in range(60):
        result = chance_level(with_effect(null_windows(rng), (0, 1), 0.06), 199, seed=i)
        hits.append(result.q[0, 1] <= 0.06 and result.p_best_f[0] <= 0.05 and result.p_best_g[1] <= 0.05)
        others = np.delete(result.q.reshape(-1), 1)
        false.append((others <= 0.05).any())
    assert np.mean(hits) > 0.95 and np.mean(false) < 0.15


def test_a_shared_position_raises_the_level_and_not_the_corrected_value():
    windows = [w + 0.4 for w in null_windows(np.random.default_rng(5))]  # equal on matched and mismatched text
    result = chance_level(windows)
    assert (result.level > 0.55).all() and (result.values > 0.55).all()
    assert (result.corrected < 0.05).all()
    assert np.abs(result.values - result.mismatched).max() < 0.05


def test_cells_without_a_value_are_left_out():
    windows = with_effect(null_windows(np.random.default_rng(6)), (0, 1), 0.2)
    windows[0][3, 5, 1, :] = np.nan  # layer 2 of f
    result = chance_level(windows)
    for name in ("values", "mismatched", "level", "corrected", "p", "q", "p_max"):
        array = getattr(result, name)
        assert np.isnan(array[1]).all() and np.isfinite(array[[0, 2]]).all(), name
    assert (
        np.isnan(result.p_best_f[1])
        and np.isfinite(result.p_best_f[[0, 2]]).all()
        and np.isfinite(result.p_best_g).all()
    )
    assert result.p_highest == 0.001 and result.q[0, 1] == pytest.approx(0.008), "8 cells are tested"
    nothing = chance_level([np.full((4, 4, 2, 2), np.nan)])
    assert np.isnan(nothing.p).all() and np.isnan(nothing.p_mean) and np.isnan(nothing.p_highest)


def test_a_measure_where_low_is_similar_is_tested_below():
    windows = [-w for w in with_effect(null_windows(np.random.default_rng(7)), (2, 0), 0.1)]
    result, mirrored = chance_level(windows, higher_is_similar=False), chance_level([-w for w in windows])
    np.testing.assert_array_equal(result.p, mirrored.p)
    np.testing.assert_array_equal(result.level, -mirrored.level)
    np.testing.assert_array_equal(result.values, -mirrored.values)
    assert np.isnan(result.corrected).all()


def test_windows_of_one_batch_add_to_the_value_and_not_to_the_permutations():
    windows = null_windows(np.random.default_rng(8))
    single = chance_level([*windows, np.full((1, 1, 3, 4), 5.0)])
    assert single.n_batches == 17 and np.isfinite(single.mismatched).all()
    np.testing.assert_allclose(single.mismatched, chance_level(windows).mismatched)
    np.testing.assert_array_equal(single.p, chance_level(windows).p)


def test_false_discovery_rate_is_that_of_scipy_and_spares_nan():
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(9).uniform(size=(5, 7)) ** 2
    np.testing.assert_allclose(false_discovery_rate(p).reshape(-1), false_discovery_control(p.reshape(-1)), atol=1e-14)
    holed = p.copy()
    holed[2, 3] = np.nan
    left = ~np.isnan(holed)
    np.testing.assert_allclose(false_discovery_rate(holed)[left], false_discovery_control(holed[left]), atol=1e-14)
    assert np.isnan(false_discovery_rate(holed)[2, 3])


def test_cka_of_a_window_divides_by_the_self_terms_of_the_batches_that_were_read():
    rng = np.random.default_rng(0)
    cross, self_f, self_g = (
        rng.normal(size=(4, 4, 2, 3)),
        rng.uniform(1, 2, size=(4, 2)),
        rng.uniform(1, 2, size=(4, 3)),
    )
    window = cka_window(cross, self_f, self_g)
    assert window[1, 2, 0, 1] == pytest.approx(cross[1, 2, 0, 1] / np.sqrt(self_f[1, 0] * self_g[2, 1]))
    assert window.shape == (4, 4, 2, 3)


def test_small_pieces():
    assert add_one_p(np.array([1.0, 0.5, 1.0 + 1e-15, 1.0 - 1e-15])) == 0.75
    np.testing.assert_allclose(corrected_value(np.array([0.5, 0.1, 1.0]), np.array([0.2, 0.2, 0.2])), [0.375, 0.0, 1.0])
    assert np.isnan(corrected_value(np.array([1.0]), np.array([1.0]))).all()
    assert (least_batches(0.05), least_batches(0.001), least_batches(0.5)) == (4, 7, 2)
    assert (least_permutations(0.05), least_permutations(0.001), least_permutations(0.5)) == (19, 999, 1)


@pytest.mark.parametrize(
    "windows, more, match",
    [
        ([], {}, "0 batches can be paired in 1 ways, fewer than the 20 that p = 0.05 needs: measure at least 4"),
        ([np.zeros((3, 3, 2, 2))], {}, "3 batches can be paired in 6 ways, fewer than the 20"),
        (
            [np.zeros((3, 2, 2, 2))],
            {},
            r"A window has shape \(3, 2, 2, 2\); \(w, w, layers of f, layers of g\) is expected",
        ),
        ([np.zeros((3, 3, 2, 2)), np.zeros((3, 3, 2, 1))], {}, r"A window has shape \(3, 3, 2, 1\)"),
        ([np.zeros((3, 3, 2, 2))], {"alpha": 1.0}, "lies between 0 and 1, and 1 was given"),
        (
            [np.zeros((3, 3, 2, 2))],
            {"n_permutations": 18},
            "18 permutations cannot reach p = 0.05: ask for at least 19",
        ),
    ],
)
def test_bad_input_says_what_would_do(windows, more, match):
    with pytest.raises(UserError, match=match):
        chance_level(windows, **more)
