"""Reductions against a plain loop, the jackknife against its definition, intervals against a simulation."""

from __future__ import annotations

import time

import numpy as np
import pytest

from repdiss_core.base.errors import UserError
from repdiss_core.base.results import BatchHsic
from repdiss_core.measures.reduction import REDUCTIONS, cka_ratio, mean_interval, pseudo_values, reduce_hsic, t_quantile


def batches(n_batches: int, n_layers_f: int = 3, n_layers_g: int = 2, seed: int = 0) -> BatchHsic:
    rng = np.random.default_rng(seed)
    self_f, self_g = rng.uniform(1, 3, (n_batches, n_layers_f)), rng.uniform(1, 3, (n_batches, n_layers_g))
    cross = rng.normal(0.1, 0.5, (n_batches, n_layers_f, n_layers_g))
    return BatchHsic(cross, self_f, self_g, np.full(n_batches, 64))


def plain_value(b: BatchHsic, kept: list[int], reduction: str, row: int, column: int) -> float:
    """One cell, with numbers instead of arrays."""
    if reduction == "mean_of_ratios":
        return sum(b.cross[i, row, column] / (b.self_f[i, row] * b.self_g[i, column]) ** 0.5 for i in kept) / len(kept)
    cross, self_f, self_g = (
        sum(a[i] for i in kept) for a in (b.cross[:, row, column], b.self_f[:, row], b.self_g[:, column])
    )
    return cross / (self_f * self_g) ** 0.5


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("n_batches", [2, 3, 10])
def test_values_errors_and_intervals_against_a_plain_loop(reduction, n_batches):
    b = batches(n_batches)
    result = reduce_hsic(b, reduction)
    quantile = {2: 12.7062047362, 3: 4.3026527297, 10: 2.2621571628}[n_batches]
    everyone = list(range(n_batches))
    for row, column in np.ndindex(3, 2):
        value = plain_value(b, everyone, reduction, row, column)
        without = [plain_value(b, [i for i in everyone if i != left], reduction, row, column) for left in everyone]
        centre = sum(without) / n_batches
        error = ((n_batches - 1) / n_batches * sum((w - centre) ** 2 for w in without)) ** 0.5
        low, high = result.interval[:, row, column]
        assert result.values[row, column] == pytest.approx(value, rel=1e-12)
        assert result.standard_error[row, column] == pytest.approx(error, rel=1e-9)
        assert (low, high) == pytest.approx((value - quantile * error, value + quantile * error), abs=1e-8)
    assert (result.values < 0).any(), "negative values are kept"
    assert (
        result.n_batches == n_batches
        and result.provenance == {"reduction": reduction, "confidence": 0.95}
        and result.notes == ()
    )


def test_the_two_reductions_differ():
    b = batches(10)
    assert np.abs(reduce_hsic(b, "mean_of_ratios").values - reduce_hsic(b, "ratio_of_means").values).max() > 1e-3


def test_values_outside_minus_one_and_one_are_not_clipped():
    b = BatchHsic(np.array([[[3.0, -4.0]]]), np.ones((1, 1)), np.ones((1, 2)), np.array([8]))
    assert reduce_hsic(b).values.tolist() == [[3.0, -4.0]]


def test_one_batch_has_a_value_but_no_interval():
    for reduction in REDUCTIONS:
        result = reduce_hsic(batches(1), reduction)
        assert np.isfinite(result.values).all()
        assert np.isnan(result.standard_error).all() and np.isnan(result.interval).all()
        assert "one batch has no standard error and no interval: measure two or more" in result.notes


def test_a_layer_without_a_value_is_nan_with_a_note():
    b = batches(5)
    b.self_f[2, 1] = 0.0
    b.cross[2, 1] = 0.0
    mean = reduce_hsic(b, "mean_of_ratios")
    assert np.isnan(mean.values[1]).all() and np.isfinite(np.delete(mean.values, 1, axis=0)).all()
    assert mean.notes == ("layer 2 of f has no CKA: its HSIC with itself is not positive in 1 of 5 batches",)
    assert np.isfinite(reduce_hsic(b, "ratio_of_means").values).all()
    b.self_g[:, 0] = 0.0
    ratio = reduce_hsic(b, "ratio_of_means")
    assert (
        np.isnan(ratio.values[:, 0]).all()
        and np.isnan(ratio.interval[:, :, 0]).all()
        and np.isfinite(ratio.values[:, 1]).all()
    )
    assert ratio.notes == ("layer 1 of g has no CKA: its HSIC with itself is not positive there",)


def test_notes_of_the_batches_are_passed_on():
    b = batches(2)
    assert reduce_hsic(BatchHsic(b.cross, b.self_f, b.self_g, b.n_tokens, ("a note",))).notes == ("a note",)


@pytest.mark.parametrize("exponent", [-1000, -333, 0, 501])
def test_hsic_near_the_ends_of_float64_still_divides(exponent):
    x = np.ldexp(np.array([1.7]), exponent)
    assert cka_ratio(x[:, None], x, x).item() == 1.0
    y = np.ldexp(np.array([3.1]), exponent - 1)
    cross = np.ldexp(np.array([[0.4]]), exponent)
    assert cka_ratio(cross, x, y).item() == pytest.approx(0.4 / (1.7 * 1.55) ** 0.5, rel=1e-14)


def test_jackknife_t_covers_the_population_value():
    """CKA of the population, known by construction, lies in 95 % of the intervals of "ratio_of_means", skew of HSIC
    included."""
    rng = np.random.default_rng(0)
    n_trials, n_batches = 1500, 20
    hits = {0.95: 0, 0.5: 0}
    for _ in range(n_trials):
        size = rng.exponential(size=n_batches)  # batches differ in size of HSIC, as real ones do
        self_f, self_g = 1 + size, 2 + size * rng.uniform(0.5, 1.5, n_batches)
        cross = 0.5 + 0.4 * size + 0.3 * rng.normal(size=n_batches)
        b = BatchHsic(cross[:, None, None], self_f[:, None], self_g[:, None], np.full(n_batches, 64))
        truth = (0.5 + 0.4) / np.sqrt(2 * 3)
        for confidence in hits:
            low, high = reduce_hsic(b, "ratio_of_means", confidence).interval[:, 0, 0]
            hits[confidence] += low <= truth <= high
    assert 0.925 < hits[0.95] / n_trials < 0.97
    assert 0.46 < hits[0.5] / n_trials < 0.54


@pytest.mark.parametrize(
    "probability, degrees, expected",
    [
        (0.975, 1, 12.706204736),
        (0.975, 2, 4.302652730),
        (0.975, 3, 3.182446305),
        (0.975, 4, 2.776445105),
        (0.95, 9, 1.833112933),
        (0.975, 9, 2.262157163),
        (0.995, 30, 2.749995654),
        (0.975, 199, 1.971956544),
        (0.975, 999, 1.962341461),
        (0.975, 10_000, 1.960201264),
        (0.5, 7, 0.0),
    ],
)
def test_t_quantile_agrees_with_published_tables(probability, degrees, expected):
    assert t_quantile(probability, degrees) == pytest.approx(expected, abs=1e-6)


def test_t_quantile_agrees_with_scipy():
    from scipy.special import stdtrit

    for degrees in (1, 2, 3, 4, 9, 30, 199):
        for probability in (0.75, 0.9, 0.975, 0.995):
            assert t_quantile(probability, degrees) == pytest.approx(stdtrit(degrees, probability), rel=1e-11)


def test_the_interval_of_a_mean_agrees_with_scipy():
    from scipy.special import stdtrit

    sample = np.random.default_rng(0).normal(0.0, 3.0, 12)
    for confidence in (0.5, 0.95):
        mean, error, low, high = mean_interval(sample, confidence)
        assert (mean, error) == pytest.approx((sample.mean(), sample.std(ddof=1) / 12**0.5), rel=1e-12)
        half = stdtrit(11, 0.5 + confidence / 2) * error
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=1e-10 * error)


def test_the_mean_of_one_number_has_no_interval():
    mean, *rest = mean_interval(np.array([2.5]))
    assert mean == 2.5 and np.isnan(rest).all()


def test_a_large_input_is_reduced_quickly():
    b = batches(1000, 26, 26)
    for reduction in REDUCTIONS:
        times = []
        for _ in range(3):
            begin = time.process_time()
            reduce_hsic(b, reduction)
            times.append(time.process_time() - begin)
        assert min(times) < 0.2


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((batches(2), "median"), r"no reduction 'median'; choose one of mean_of_ratios, ratio_of_means"),
        ((batches(2), "mean_of_ratios", 95), r"confidence of an interval lies between 0 and 1, and 95 was given"),
        ((batches(0),), r"no batches to reduce"),
    ],
)
def test_bad_requests_say_what_is_wrong(arguments, match):
    with pytest.raises(UserError, match=match):
        reduce_hsic(*arguments)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("n_batches", [2, 9])
def test_pseudo_values_have_the_mean_and_the_jackknife_error_of_the_reduction(reduction, n_batches):
    b = batches(n_batches)
    result, pseudo = reduce_hsic(b, reduction), pseudo_values(b, reduction)
    assert pseudo.shape == (n_batches, 3, 2)
    np.testing.assert_allclose(pseudo.mean(axis=0), result.values, rtol=1e-12)
    np.testing.assert_allclose(pseudo.std(axis=0, ddof=1) / np.sqrt(n_batches), result.standard_error, rtol=1e-9)


def test_pseudo_values_of_one_batch_are_its_own_and_refuse_what_reductions_refuse():
    b = batches(1)
    for reduction in REDUCTIONS:
        np.testing.assert_array_equal(pseudo_values(b, reduction)[0], cka_ratio(b.cross, b.self_f, b.self_g)[0])
    with pytest.raises(UserError, match="There is no reduction 'median'"):
        pseudo_values(b, "median")
    with pytest.raises(UserError, match="no batches to reduce"):
        pseudo_values(b.first(0))
