"""From per-batch HSIC values to CKA with its uncertainty; never recomputes a batch. numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from repdiss_core.base.batches import BatchHsic, BatchValues, SameLayerHsic
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import LayerMatrix

REDUCTIONS = {
    "mean_of_ratios": "mean over batches of each batch's CKA (the paper's)",
    "ratio_of_means": "ratio of HSIC values averaged over batches (Nguyen et al. 2021)",
}


MEANS = {"mean": "mean over batches"}
SHARES = {"ratio_of_sums": "one ratio of sums over batches"}


@dataclass(frozen=True, eq=False)
class Reduction:
    """How per-batch results become one map.

    Args:
        names: label of each way, the usual one first.
        reduce: (batches, name, confidence) to the map with its errors and intervals.
        pseudo_values: (batches, name) to (B, L_f, L_g) jackknife pseudo-values, whose mean and spread give value and
            error.
    """

    names: Mapping[str, str]
    reduce: Callable[..., LayerMatrix]
    pseudo_values: Callable[[Any, str], np.ndarray]


def reduce_hsic(batches: BatchHsic, reduction: str = "mean_of_ratios", confidence: float = 0.95) -> LayerMatrix:
    """CKA of every layer pair with its jackknife standard error and jackknife-t interval over batches.

    With h_b the cross HSIC of batch b and k_b, l_b the HSIC of each layer with itself:
    "mean_of_ratios" = (1/B) Σ_b h_b / sqrt(k_b l_b), the paper's; "ratio_of_means" = Σ_b h_b / sqrt(Σ_b k_b · Σ_b l_b),
    Nguyen et al.
    Standard error: sqrt((B−1)/B · Σ_b (θ_(b) − θ_(·))²) with θ_(b) the value without batch b (Tukey; Efron and Stein
    1981).
    Interval: value ± t_{B−1} · standard error. It speaks of the number that the reduction estimates: for
    "mean_of_ratios" the expected CKA of a batch of this size, for "ratio_of_means" the CKA of the population. Values
    are never clipped: unbiased CKA may be negative.

    Args:
        batches: per-batch HSIC values.
        reduction: a name in `REDUCTIONS`.
        confidence: of the interval, between 0 and 1.

    Returns:
        A `LayerMatrix`. A cell is NaN, with a note, where a layer's HSIC with itself is not positive (in any batch, for
        "mean_of_ratios"; summed over batches, for "ratio_of_means"); error and interval are NaN, with a note, for
        one batch.

    Raises:
        UserError: for an unknown reduction, a confidence outside (0, 1), or no batches.
    """
    _check(batches, reduction, REDUCTIONS, confidence)
    values, error = (_mean_of_ratios if reduction == "mean_of_ratios" else _ratio_of_means)(batches)
    notes = list(batches.notes) + _missing_notes(batches, reduction)
    return _with_interval(values, error, batches.n_batches, notes, reduction, confidence)


def reduce_values(batches: BatchValues, reduction: str = "mean", confidence: float = 0.95) -> LayerMatrix:
    """The mean over batches of one value a cell, with its jackknife standard error and jackknife-t interval.

    For a mean the jackknife standard error is the deviation over batches divided by sqrt(B). A cell that has no value
    in some batch has none here.

    Args:
        batches: values (B, L_f, L_g).
        reduction: "mean".

    Raises:
        UserError: as `reduce_hsic`, and for results that keep several numbers a cell.
    """
    _check(batches, reduction, MEANS, confidence)
    values = _one_value(batches)
    n = len(values)
    error = values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full_like(values[0], np.nan)
    return _with_interval(values.mean(axis=0), error, n, list(batches.notes), reduction, confidence)


def value_samples(batches: BatchValues, reduction: str = "mean") -> np.ndarray:
    """(B, L_f, L_g) jackknife pseudo-values of a mean: the batches' own values."""
    _check(batches, reduction, MEANS)
    return _one_value(batches)


def _one_value(batches: BatchValues) -> np.ndarray:
    if batches.values.ndim != 3:
        raise UserError(
            f"The mean over batches is of one value a cell, and {batches.values.shape[-1]} are stored: "
            "give the measure a reduction of its own."
        )
    return batches.values


def _check(batches: Any, reduction: str, names: Mapping[str, str], confidence: float = 0.95) -> None:
    """Raise a `UserError` for what no reduction can do."""
    if reduction not in names:
        raise UserError(f"There is no reduction {reduction!r}; choose one of {', '.join(names)}.")
    if not 0.0 < confidence < 1.0:
        raise UserError(
            f"The confidence of an interval lies between 0 and 1, and {confidence} was given; 0.95 is usual."
        )
    if batches.n_batches == 0:
        raise UserError("There are no batches to reduce: measure at least one.")


def _with_interval(
    values: np.ndarray, error: np.ndarray, n_batches: int, notes: list[str], reduction: str, confidence: float
) -> LayerMatrix:
    """Values with their errors (L_f, L_g) as a map with t intervals over batches."""
    if n_batches == 1:
        notes.append("one batch has no standard error and no interval: measure two or more")
        reach = error
    else:
        reach = t_quantile(0.5 + confidence / 2, n_batches - 1) * error
    return LayerMatrix(
        values=values,
        standard_error=error,
        interval=np.stack([values - reach, values + reach]),
        n_batches=n_batches,
        notes=tuple(dict.fromkeys(notes)),
        provenance={"reduction": reduction, "confidence": confidence},
    )


def pseudo_values(batches: BatchHsic, reduction: str = "mean_of_ratios") -> np.ndarray:
    """(B, L_f, L_g) jackknife pseudo-values θ + (B−1)(θ_(·) − θ_(b)) of CKA (after Tukey):
    their mean and spread give value and error.

    For "mean_of_ratios" they are the batches' own CKA values. Averages of cells, such as the mean of a map, have the
    same averages of pseudo-values, so that one t interval over batches serves them all.

    Raises:
        UserError: for an unknown reduction, or no batches.
    """
    _check(batches, reduction, REDUCTIONS)
    if reduction == "mean_of_ratios" or batches.n_batches == 1:
        return cka_ratio(batches.cross, batches.self_f, batches.self_g)
    sums = [a.sum(axis=0) for a in (batches.cross, batches.self_f, batches.self_g)]
    without = cka_ratio(
        *(total - a for total, a in zip(sums, (batches.cross, batches.self_f, batches.self_g), strict=True))
    )
    return cka_ratio(*sums) + (batches.n_batches - 1) * (without.mean(axis=0) - without)


def hsic_ratio(cross: np.ndarray, self_f: np.ndarray, self_g: np.ndarray) -> np.ndarray:
    """cross / sqrt(self_f · self_g), element by element (shapes are broadcast); NaN where a self-HSIC is not positive.

    Exponents are halved apart from mantissas: the product of two HSIC values of very large or small features leaves
    float64, and sqrt(x·x) stays exactly x, so that a layer's CKA with itself is exactly 1.
    """
    (mf, ef), (mg, eg) = (np.frexp(np.where(s > 0, s, np.nan)) for s in (self_f, self_g))
    odd = (ef + eg) & 1  # sqrt(2) goes with the mantissas where the exponents add up to an odd number
    return np.ldexp(cross / np.sqrt(np.ldexp(mf * mg, odd)), -((ef + eg - odd) // 2))


def cka_ratio(cross: np.ndarray, self_f: np.ndarray, self_g: np.ndarray) -> np.ndarray:
    """(…, L_f, L_g) CKA from cross (…, L_f, L_g) and the self terms (…, L_f) and (…, L_g); see `hsic_ratio`."""
    return hsic_ratio(cross, self_f[..., :, None], self_g[..., None, :])


def reduce_same_layers(batches: SameLayerHsic, n_batches: int, reduction: str = "mean_of_ratios") -> np.ndarray:
    """(L,) CKA of equal layers over the first `n_batches` batches;
    NaN where a layer's HSIC with itself is not positive.

    Args:
        reduction: a name in `REDUCTIONS`.

    Raises:
        UserError: for an unknown reduction.
    """
    if reduction not in REDUCTIONS:
        raise UserError(f"There is no reduction {reduction!r}; choose {' or '.join(REDUCTIONS)}.")
    cross, f, g = (a[:n_batches] for a in (batches.cross, batches.self_f, batches.self_g))
    if reduction == "ratio_of_means":
        cross, f, g = (a.mean(axis=0, keepdims=True) for a in (cross, f, g))
    return hsic_ratio(cross, f, g).mean(axis=0)


def _mean_of_ratios(batches: BatchHsic) -> tuple[np.ndarray, np.ndarray]:
    """(value, jackknife standard error); for a mean the latter is the deviation over batches divided by sqrt(B)."""
    ratios = cka_ratio(batches.cross, batches.self_f, batches.self_g)
    n = len(ratios)
    if n == 1:
        return ratios[0], np.full_like(ratios[0], np.nan)
    return ratios.mean(axis=0), ratios.std(axis=0, ddof=1) / np.sqrt(n)


def _ratio_of_means(batches: BatchHsic) -> tuple[np.ndarray, np.ndarray]:
    """(value, jackknife standard error) from leave-one-out sums."""
    sums = [a.sum(axis=0) for a in (batches.cross, batches.self_f, batches.self_g)]
    values, n = cka_ratio(*sums), batches.n_batches
    if n == 1:
        return values, np.full_like(values, np.nan)
    without = cka_ratio(*(total - a for total, a in zip(sums, (batches.cross, batches.self_f, batches.self_g))))
    return values, np.sqrt((n - 1) * without.var(axis=0))


def _missing_notes(batches: BatchHsic, reduction: str) -> list[str]:
    """Why cells are NaN: one sentence a layer."""
    notes = []
    for name, values in (("f", batches.self_f), ("g", batches.self_g)):
        if reduction == "ratio_of_means":
            values = values.sum(axis=0, keepdims=True)
        for layer in np.flatnonzero((~(values > 0)).any(axis=0)):
            where = (
                f"in {int((~(values[:, layer] > 0)).sum())} of {len(values)} batches" if len(values) > 1 else "there"
            )
            notes.append(f"layer {layer + 1} of {name} has no CKA: its HSIC with itself is not positive {where}")
    return notes


def mean_interval(sample: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float, float]:
    """(mean, standard error, lower, upper) of a sample (n,), with Student's t interval; the last three are NaN for
    n = 1."""
    mean, n = float(sample.mean()), len(sample)
    if n < 2:
        return mean, float("nan"), float("nan"), float("nan")
    error = float(sample.std(ddof=1) / np.sqrt(n))
    half = t_quantile(0.5 + confidence / 2, n - 1) * error
    return mean, error, mean - half, mean + half


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """The quantile of Student's t for a whole number of degrees of freedom and a probability of at least 0.5.

    Found by bisection on the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4 (importing scipy.special takes
    half a second).
    """
    low, high = 0.0, 1.0
    while _t_cdf(high, degrees_of_freedom) < probability:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, degrees_of_freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, nu: int) -> float:
    """P(T ≤ t) for t ≥ 0 and a whole nu ≥ 1."""
    theta = np.arctan2(t, np.sqrt(nu))
    sine, cosine = np.sin(theta), np.cos(theta)
    if nu % 2:  # 2/π [θ + sin θ (cos θ + 2/3 cos³ θ + …)], (nu − 1)/2 terms
        k = np.arange(1, (nu - 1) // 2)
        terms = np.cumprod(np.concatenate([[cosine], 2 * k / (2 * k + 1) * cosine**2])) if nu > 1 else np.zeros(1)
        inside = 2 / np.pi * (theta + sine * terms.sum())
    else:  # sin θ (1 + 1/2 cos² θ + 3/8 cos⁴ θ + …), nu/2 terms
        k = np.arange(1, nu // 2)
        inside = sine * np.cumprod(np.concatenate([[1.0], (2 * k - 1) / (2 * k) * cosine**2])).sum()
    return float(0.5 + inside / 2)


def reduce_shares(batches: BatchValues, reduction: str = "ratio_of_sums", confidence: float = 0.95) -> LayerMatrix:
    """1 − Σ error / Σ total over batches, with its jackknife standard error and jackknife-t interval.

    Args:
        batches: values (B, L_f, L_g, 2): squared error and total of each batch.
        reduction: "ratio_of_sums".

    Raises:
        UserError: as `reduce_values`.
    """
    _check(batches, reduction, SHARES, confidence)
    n, whole, without = batches.n_batches, *_shares(batches)
    error = np.sqrt((n - 1) * without.var(axis=0)) if n > 1 else np.full_like(whole, np.nan)
    return _with_interval(whole, error, n, list(batches.notes), reduction, confidence)


def share_samples(batches: BatchValues, reduction: str = "ratio_of_sums") -> np.ndarray:
    """(B, L_f, L_g) jackknife pseudo-values of the share explained."""
    _check(batches, reduction, SHARES)
    n, whole, without = batches.n_batches, *_shares(batches)
    return whole[None] if n == 1 else whole + (n - 1) * (without.mean(axis=0) - without)


def _shares(batches: BatchValues) -> tuple[np.ndarray, np.ndarray]:
    """((L_f, L_g) share explained, (B, L_f, L_g) the same without each batch); NaN where nothing varies."""
    sums = batches.values.sum(axis=0)
    pairs = np.concatenate([sums[None], sums - batches.values])
    shares = 1.0 - pairs[..., 0] / np.where(pairs[..., 1] > 0, pairs[..., 1], np.nan)
    return shares[0], shares[1:]


HSIC_RATIO = Reduction(REDUCTIONS, reduce_hsic, pseudo_values)
BATCH_MEAN = Reduction(MEANS, reduce_values, value_samples)
SHARE_EXPLAINED = Reduction(SHARES, reduce_shares, share_samples)
