"""Trends, early layers, the odd member and twins, on families whose answer was planted."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from repdiss_core.analysis.family import early_and_late, odd_members, over_shapes, trend
from repdiss_core.analysis.twins import difference_at_loss, seed_difference, value_at_loss
from repdiss_core.base.errors import UserError

SHAPES = tuple("aabcccdddef")
SIZE = np.array([5.6, 5.6, 5.9, 6.1, 6.1, 6.1, 6.1, 6.1, 6.1, 6.4, 6.7])  # c and d are twins of one size


def family(
    odd: str | None = None, effect: float = -0.1, seed: int = 0, noise: float = 0.004, slope: float = -0.1
) -> np.ndarray:
    """(M, M) similarities that fall with the difference of sizes;
    every model has its own deviation, `odd` also `effect`."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=len(SIZE)) * noise
    own += np.array([effect if s == odd else 0.0 for s in SHAPES])
    s = 0.8 + 0.02 * np.add.outer(SIZE, SIZE) + slope * np.abs(np.subtract.outer(SIZE, SIZE)) + np.add.outer(own, own)
    return s + np.where(np.equal.outer(SHAPES, SHAPES), 0.05, 0.0)


def test_early_and_late_layers():
    matrix = np.zeros((6, 9))
    matrix[:2, :3], matrix[-2:, -3:] = 0.9, 0.3
    assert early_and_late(matrix) == pytest.approx((0.9, 0.3))
    assert early_and_late(np.array([[0.7, 0.1], [0.2, 0.4]])) == pytest.approx((0.7, 0.4))


def test_a_trend_is_numpys_line_with_an_exact_permutation():
    x, y = np.array([1.0, 2.0, 3.0, 5.0, 8.0]), np.array([0.2, 0.35, 0.3, 0.55, 0.7])
    found = trend(x, y)
    assert found.slope == pytest.approx(np.polyfit(x, y, 1)[0]) and found.verdict == "rises" and found.n == 5
    rest = y - np.polyval(np.polyfit(x, y, 1), x)
    error = math.sqrt((rest @ rest) / 3 / ((x - x.mean()) ** 2).sum())
    assert found.interval == pytest.approx([found.slope - 3.18245 * error, found.slope + 3.18245 * error], rel=1e-4)
    assert found.rank_correlation == pytest.approx(0.9)
    assert trend([1, 2, 3, 4], [1, 2, 3, 4]).p == pytest.approx(2 / 24)
    assert trend(x, -y).verdict == "falls"
    assert trend(range(6), [0.3, 0.5, 0.2, 0.5, 0.3, 0.4]).verdict == "undecided"
    assert trend(range(4), [0.5] * 4).p == 1.0
    assert trend(range(12), np.arange(12) ** 2).p < 0.001


@pytest.mark.parametrize(
    "x, y, said",
    [
        ([1, 2], [1, 2], "at least 3 members; there are 2"),
        ([1, 1, 1], [1, 2, 3], "the same size"),
        ([1, 2, 3], [1, np.nan, 2], "a value for every member"),
    ],
)
def test_a_trend_without_ground_is_refused(x, y, said):
    with pytest.raises(UserError, match=said):
        trend(x, y)


@pytest.mark.parametrize("odd", ["b", "d", "e", "f"])
@pytest.mark.parametrize("effect", [-0.1, 0.1])
def test_the_planted_member_is_named_and_no_other(odd, effect):
    for seed in range(5):
        report = odd_members(family(odd, effect, seed), SIZE, SHAPES)
        assert [d.shape for d in report.odd] == [odd]
        assert report.odd[0].effect == pytest.approx(effect, abs=0.03) and report.odd[0].ratio > 1
        assert report.seed_freedom == 5 and {d.shape for d in report.departures} == set(SHAPES)


def test_a_regular_family_names_none_at_the_stated_rate():
    named = [len(odd_members(family(None, seed=seed), SIZE, SHAPES).odd) > 0 for seed in range(200)]
    assert np.mean(named) < 0.1


def test_an_effect_within_the_spread_of_seeds_is_not_odd():
    report = odd_members(family("d", -0.02, noise=0.02), SIZE, SHAPES)
    assert report.odd == () and report.seed_sd > 0.003


def test_the_yardstick_is_the_spread_between_seeds():
    """With models of known deviations a replicate's departure differs by just that deviation."""
    own = np.zeros(len(SIZE))
    own[[0, 1, 3, 4]] = 0.01, -0.01, 0.02, -0.02  # variances 0.0002 (1 degree of freedom), 0.0004 (2) and 0 (2)
    report = odd_members(family(noise=0.0) + np.add.outer(own, own), SIZE, SHAPES)
    assert report.seed_sd == pytest.approx(math.sqrt((0.0002 + 2 * 0.0004) / 5))
    by_shape = {d.shape: d for d in report.departures}
    assert by_shape["a"].n_seeds == 2 and by_shape["a"].effect == pytest.approx(0, abs=1e-9)
    assert by_shape["a"].seed_error == pytest.approx(report.seed_sd / math.sqrt(2)) and by_shape[
        "b"
    ].seed_error == pytest.approx(report.seed_sd)


def test_families_without_ground_are_refused():
    s = family()
    with pytest.raises(UserError, match="at least 5 different shapes; this family has 1"):
        odd_members(np.eye(1), [6.0], ["a"])
    with pytest.raises(UserError, match="no yardstick"):
        odd_members(s, SIZE, [*"abcdefghijk"])
    with pytest.raises(UserError, match="same size"):
        odd_members(s, np.ones(11), SHAPES)
    hole = s.copy()
    hole[0, 5] = np.nan
    with pytest.raises(UserError, match="have no similarity yet"):
        odd_members(hole, SIZE, SHAPES)
    with pytest.raises(UserError, match="do not belong to one family"):
        odd_members(s, SIZE[:10], SHAPES[:10])


def test_seed_difference_is_welchs():
    found = seed_difference([0.55, 0.57, 0.53], [0.70, 0.71, 0.72])
    assert found.mean == pytest.approx(-0.16) and found.n == (3, 3) and found.verdict == "lower"
    error = math.sqrt(0.0004 / 3 + 0.0001 / 3)  # 2.94 degrees of freedom, taken as 2: t = 4.303
    assert found.interval == pytest.approx([-0.16 - 4.30265 * error, -0.16 + 4.30265 * error], rel=1e-4)
    assert seed_difference([0.5, 0.7], [0.6, 0.62]).verdict == "undecided"
    with pytest.raises(UserError, match="at least 2 of each; there are 1 and 3"):
        seed_difference([0.5], [1, 2, 3])


def test_a_value_at_equal_loss_is_interpolated_and_never_extrapolated():
    losses, values = [4.0, 3.6, 3.2], [0.65, 0.69, 0.71]
    assert value_at_loss(losses, values, 3.5) == pytest.approx(0.69 + 0.02 * 0.25)
    assert value_at_loss(losses[::-1], values[::-1], 4.0) == pytest.approx(0.65)
    with pytest.raises(UserError, match=r"from 3.200 to 4.000; 3.100 lies outside"):
        value_at_loss(losses, values, 3.1)
    with pytest.raises(UserError, match="at least 2 checkpoints"):
        value_at_loss([3.0], [0.1], 3.0)


def test_an_interval_over_shapes_leaves_out_one_shape_with_all_its_pairs():
    rng = np.random.default_rng(0)
    values = rng.random((5, 5))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 99.0)  # never read
    mean, interval = over_shapes(values)
    pairs = list(itertools.combinations(range(5), 2))
    assert mean == pytest.approx(np.mean([values[p] for p in pairs]))
    without = [np.mean([values[p] for p in pairs if left not in p]) for left in range(5)]
    error = math.sqrt(4 / 5 * sum((w - np.mean(without)) ** 2 for w in without))
    assert interval == pytest.approx([mean - 3.18245 * error, mean + 3.18245 * error], rel=1e-4)
    assert np.ptp(over_shapes(values, 0.99)[1]) > np.ptp(interval)
    with pytest.raises(UserError, match="at least 4 of them; this family has 3"):
        over_shapes(values[:3, :3])
    values[1, 2] = np.nan
    with pytest.raises(UserError, match="have no similarity yet"):
        over_shapes(values)


def test_a_difference_at_equal_loss_keeps_the_spread_of_the_twins_seeds():
    twin = [(4.0, 0.60), (3.0, 0.70)]  # 0.1 a nat
    odd = [(3.5, 0.55), (3.3, 0.57), (3.4, 0.53)]
    ends = [0.70, 0.72, 0.68]
    found = difference_at_loss(odd, twin, ends)
    apart = np.array([0.55 - 0.65, 0.57 - 0.67, 0.53 - 0.66])
    assert found.mean == pytest.approx(apart.mean()) and found.n == (3, 3) and found.verdict == "lower"
    own, path = apart.var(ddof=1) / 3, 0.0004  # the path's variance is not divided by the odd members' number
    freedom = int((own + path) ** 2 / (own**2 / 2 + path**2 / 2))
    assert freedom == 2
    half = 4.30265 * math.sqrt(own + path)
    assert found.interval == pytest.approx([found.mean - half, found.mean + half], rel=1e-4)
    more = difference_at_loss(odd * 50, twin, ends)
    assert np.ptp(more.interval) > 2 * 4.3 * 0.02
    with pytest.raises(UserError, match="at least 2 of each; there are 3 and 1"):
        difference_at_loss(odd, twin, ends[:1])
    with pytest.raises(UserError, match="lies outside, and nothing is extrapolated"):
        difference_at_loss([(4.1, 0.5), (3.5, 0.5)], twin, ends)
