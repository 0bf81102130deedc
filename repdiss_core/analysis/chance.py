"""What chance alone gives: values of f on one text with g on another, and what they say of those on the same text.

A window of w batches is kept as w × w values of each cell: entry [a, b] is the measure of f on batch a with g on
batch b, so that the diagonal holds the values proper and the rest what two models reach without a shared text. Rows
stay aligned by position, so that the level contains what position alone gives. Under "g read another text" any pairing
of the batches of a window is as likely as the one seen; the mean of any pairing is read off the kept values, so that R
permutations cost no forward pass. One permutation serves all cells, so that maxima and means over cells are tested
against their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, factorial, prod

import numpy as np

from repdiss_core.base.crossed import CrossedHsic, CrossedValues
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import LayerMatrix
from repdiss_core.measures.reduction import cka_ratio

PERMUTATIONS = 999
LEVEL = 0.05
CELLS_AT_ONCE = 2**22  # numbers of permuted means that are made in one go


@dataclass(frozen=True, eq=False)
class Chance:
    """The chance level of a map and the tests against it; NaN where a cell has no value.

    Args:
        values: (L_f, L_g) means over batches of the same text.
        mismatched: (L_f, L_g) means over pairs of different batches: what is reached without a shared text.
        level: (L_f, L_g) τ, the 1 − α quantile of the permuted means, the observed one included.
        corrected: (L_f, L_g) max(0, (value − τ)/(1 − τ)): 0 at the chance level, 1 for equal layers.
        p: (L_f, L_g) share of permutations, the observed one included, whose mean is at least as high.
        q: (L_f, L_g) p adjusted for the false discovery rate over the cells (Benjamini and Hochberg 1995).
        p_max: (L_f, L_g) p against the largest cell of each permuted map: holds for all cells together.
        p_best_f: (L_f,) p of each layer of f's best match, against the best matches of the permuted maps.
        p_best_g: (L_g,) the same for each layer of g.
        p_highest: p of the largest cell of the map.
        p_mean: p of the mean of the map.
        n_batches: batches in all windows.
        n_permutations: R, the observed one not counted.
    """

    values: np.ndarray
    mismatched: np.ndarray
    level: np.ndarray
    corrected: np.ndarray
    p: np.ndarray
    q: np.ndarray
    p_max: np.ndarray
    p_best_f: np.ndarray
    p_best_g: np.ndarray
    p_highest: float
    p_mean: float
    n_batches: int
    n_permutations: int


def chance_level(
    windows: Sequence[np.ndarray],
    n_permutations: int = PERMUTATIONS,
    alpha: float = LEVEL,
    seed: int = 0,
    higher_is_similar: bool = True,
) -> Chance:
    """The chance level of every cell of a map, with p values by permutations within windows.

    Args:
        windows: (w, w, L_f, L_g) values of each window, [a, b] of f on batch a and g on batch b; w may differ.
        n_permutations: R; p is at least 1/(R + 1).
        alpha: of the level, between 0 and 1.
        seed: of the permutations.
        higher_is_similar: false for a measure whose lower values say "similar"; tests then look at the lower tail, and
            there is no corrected value.

    Raises:
        UserError: windows of different layers, or an α that so few batches or permutations cannot reach.
    """
    kept = _checked(windows, n_permutations, alpha)
    sign = 1.0 if higher_is_similar else -1.0
    n_batches = sum(len(w) for w in kept)
    shape = kept[0].shape[2:]
    flat = [sign * w.reshape(len(w), len(w), -1) for w in kept]
    means = permuted_means(flat, n_permutations, seed)  # (R + 1, cells), the observed one first
    missing = np.isnan(means).any(axis=0)
    level = np.full(means.shape[1], np.nan)
    level[~missing] = np.quantile(means[:, ~missing], 1.0 - alpha, axis=0, method="inverted_cdf")
    p = np.where(missing, np.nan, add_one_p(means))
    values, level_map = (sign * a.reshape(shape) for a in (np.where(missing, np.nan, means[0]), level))
    maps = np.where(missing, -np.inf, means).reshape(-1, *shape)
    highest = maps.max(axis=(1, 2))
    p_max = np.where(missing, np.nan, _p_against(means[0], highest)).reshape(shape)
    return Chance(
        values=values,
        mismatched=sign * np.where(missing, np.nan, _mismatched(flat)).reshape(shape),
        level=level_map,
        corrected=corrected_value(values, level_map) if higher_is_similar else np.full(shape, np.nan),
        p=p.reshape(shape),
        q=false_discovery_rate(p).reshape(shape),
        p_max=p_max,
        p_best_f=_of_whole(maps.max(axis=2), missing.reshape(shape).all(axis=1)),
        p_best_g=_of_whole(maps.max(axis=1), missing.reshape(shape).all(axis=0)),
        p_highest=float(_of_whole(highest[:, None], missing.all()[None])[0]),
        p_mean=float("nan") if missing.all() else float(add_one_p(means[:, ~missing].mean(axis=1))),
        n_batches=n_batches,
        n_permutations=n_permutations,
    )


def permuted_means(windows: Sequence[np.ndarray], n_permutations: int, seed: int = 0) -> np.ndarray:
    """(R + 1, cells) the mean over batches under each pairing within windows; the pairing seen comes first.

    Args:
        windows: (w, w, cells) values of each window.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((n_permutations + 1, windows[0].shape[2]))
    for window in windows:
        w, _, n_cells = window.shape
        orders = np.concatenate([np.arange(w)[None], rng.permuted(np.tile(np.arange(w), (n_permutations, 1)), axis=1)])
        # Σ_a window[a, order[a]] as a product: each pairing is a 0-1 matrix of w rows.
        chosen = np.zeros((n_permutations + 1, w, w))
        np.put_along_axis(chosen, orders[:, :, None], 1.0, axis=2)
        rows = window.reshape(w * w, n_cells)
        step = max(1, CELLS_AT_ONCE // max(1, n_permutations + 1))
        for start in range(0, n_cells, step):
            part = rows[:, start : start + step]
            bad = np.isnan(part).any(axis=0)
            total[:, start : start + step] += chosen.reshape(-1, w * w) @ np.where(bad, 0.0, part)
            total[:, start : start + step][:, bad] = np.nan
    return total / sum(len(w) for w in windows)


def add_one_p(means: np.ndarray) -> np.ndarray:
    """(…) the share of the values (R + 1, …) that are at least as high as the first, which counts itself.

    Values that differ by rounding alone count as equal: a pairing may be the one seen.
    """
    return (means >= means[0] - _rounding(means[0])).mean(axis=0)


def corrected_value(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    """max(0, (s − τ)/(1 − τ)); NaN where the level is 1 or more, so that nothing above it can be seen."""
    room = np.where(level < 1.0, 1.0 - level, np.nan)
    return np.maximum(0.0, (values - level) / room)


def corrected_matrix(matrix: LayerMatrix, chance: Chance) -> LayerMatrix:
    """A map as chance-corrected values; its errors and intervals take the level as exact."""
    room = np.where(chance.level < 1.0, 1.0 - chance.level, np.nan)
    return replace(
        matrix,
        values=corrected_value(matrix.values, chance.level),
        standard_error=matrix.standard_error / room,
        interval=corrected_value(matrix.interval, chance.level),
    )


def false_discovery_rate(p: np.ndarray) -> np.ndarray:
    """The p values adjusted by Benjamini and Hochberg (1995): those of at most q hold a share of q false discoveries.

    NaN stays, and does not count among the tests.
    """
    flat = np.asarray(p, dtype=np.float64).reshape(-1)
    tested = np.flatnonzero(~np.isnan(flat))
    order = tested[np.argsort(-flat[tested], kind="stable")]  # the largest first
    m = len(order)
    ratios = flat[order] * m / np.arange(m, 0, -1)
    out = np.full(len(flat), np.nan)
    out[order] = np.minimum(np.minimum.accumulate(ratios), 1.0) if m else ratios
    return out.reshape(np.shape(p))


def least_permutations(alpha: float = LEVEL) -> int:
    """The fewest permutations with which p can be α or less."""
    return ceil(1.0 / alpha - 1e-9) - 1


def least_batches(alpha: float = LEVEL) -> int:
    """The smallest window whose batches can be paired in enough ways for p to be α or less."""
    return next(w for w in range(1, 200) if factorial(w) >= 1.0 / alpha)


def cka_window(cross: np.ndarray, self_f: np.ndarray, self_g: np.ndarray) -> np.ndarray:
    """(w, w, L_f, L_g) CKA of f on batch a with g on batch b, from the HSIC values that are kept of a window.

    Args:
        cross: (w, w, L_f, L_g) HSIC of f on batch a with g on batch b.
        self_f: (w, L_f) HSIC of each layer of f with itself on batch a; self_g: (w, L_g) on batch b.
    """
    return cka_ratio(cross, self_f[:, None], self_g[None, :])


def crossed_windows(rows: CrossedHsic | CrossedValues, reduction: str) -> list[np.ndarray]:
    """(k, k, L_f, L_g) values of each window, whose mean over equal batches is the map's value.

    A ratio of means has the same denominators under every pairing, so that each pairing is a mean of scaled HSIC.

    Args:
        reduction: the map's, a name in `measures.reduction.REDUCTIONS` for CKA.
    """
    windows = rows.windows()
    if not isinstance(rows, CrossedHsic):
        return windows
    if reduction == "ratio_of_means":
        return [cka_ratio(window, rows.self_f.mean(axis=0), rows.self_g.mean(axis=0)) for window in windows]
    return [
        cka_window(window, rows.self_f[first:last], rows.self_g[first:last])
        for window, (first, last) in zip(windows, rows.bounds, strict=True)
    ]


def check_batches(n_batches: int, window: int, alpha: float = LEVEL) -> None:
    """Raise a `UserError` where so few batches cannot be paired in enough ways for p to be α or less."""
    sizes = [min(window, n_batches - first) for first in range(0, n_batches, window)]
    _check_pairings(sizes, alpha)


def _checked(windows: Sequence[np.ndarray], n_permutations: int, alpha: float) -> list[np.ndarray]:
    if not 0.0 < alpha < 1.0:
        raise UserError(f"The level of a test lies between 0 and 1, and {alpha:g} was given; {LEVEL:g} is usual.")
    if n_permutations < least_permutations(alpha):
        raise UserError(
            f"{n_permutations} permutations cannot reach p = {alpha:g}: ask for at least {least_permutations(alpha)}; "
            f"{PERMUTATIONS} are usual."
        )
    arrays = [np.asarray(w, dtype=np.float64) for w in windows]
    for w in arrays:
        if w.ndim != 4 or w.shape[0] != w.shape[1] or w.shape[2:] != arrays[0].shape[2:]:
            raise UserError(
                f"A window has shape {w.shape}; (w, w, layers of f, layers of g) is expected, "
                "with the layers of the others."
            )
    _check_pairings([len(w) for w in arrays], alpha)
    return arrays


def _check_pairings(sizes: Sequence[int], alpha: float) -> None:
    pairings, batches = prod(map(factorial, sizes)), sum(sizes)
    if not sizes or pairings < 1.0 / alpha:
        raise UserError(
            f"{batches} batches can be paired in {pairings} ways, fewer than the {ceil(1.0 / alpha - 1e-9)} that "
            f"p = {alpha:g} needs: measure at least {least_batches(alpha)} batches, in one window."
        )


def _mismatched(windows: Sequence[np.ndarray]) -> np.ndarray:
    """(cells,) mean over all pairs of different batches of the same window."""
    total = sum(w.sum(axis=(0, 1)) - np.trace(w, axis1=0, axis2=1) for w in windows)
    return np.asarray(total) / sum(len(w) * (len(w) - 1) for w in windows)


def _p_against(values: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """(cells,) the share of the largest cells (R + 1,) that are at least as high as each value."""
    ordered = np.sort(highest)
    below = np.searchsorted(ordered, values - _rounding(values), side="left")
    return (len(ordered) - below) / len(ordered)


def _of_whole(best: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """p of maxima (R + 1, …); NaN where no cell had a value."""
    return np.where(empty, np.nan, add_one_p(best))


def _rounding(values: np.ndarray) -> np.ndarray:
    return 1e-12 * np.maximum(1.0, np.abs(np.where(np.isfinite(values), values, 0.0)))
