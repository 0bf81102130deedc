"""A family of models of growing size: trends with scale, early layers, the odd member,
and an odd twin at equal loss."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import t_quantile

EARLY_SHARE = 1 / 3
MIN_SHAPES = 5
_EXACT_ORDERS = 7  # up to so many points all orders are tried


def early_and_late(matrix: np.ndarray, share: float = EARLY_SHARE) -> tuple[float, float]:
    """Mean CKA of the first layers of two models with each other, and of their last ones.

    Args:
        matrix: (L_f, L_g) layers of f against those of g.
        share: of each model's depth that counts as early, and as late; at least one layer.
    """
    rows, columns = (max(1, round(share * n)) for n in matrix.shape)
    return float(matrix[:rows, :columns].mean()), float(matrix[-rows:, -columns:].mean())


@dataclass(frozen=True, eq=False)
class Trend:
    """A straight line through the members of a family.

    Args:
        slope: of y, a unit of x.
        interval: (2,) t interval of the slope over members.
        rank_correlation: Spearman's.
        p: two-sided, share of orders of y whose |rank correlation| reaches the found one.
        n: members.
    """

    slope: float
    interval: np.ndarray
    rank_correlation: float
    p: float
    n: int

    @property
    def verdict(self) -> str:
        """ "rises", "falls" or "undecided": the sign of the slope where its interval leaves 0 out."""
        if self.interval[0] > 0:
            return "rises"
        return "falls" if self.interval[1] < 0 else "undecided"


def trend(x: Sequence[float], y: Sequence[float], level: float = 0.95, seed: int = 0) -> Trend:
    """How y goes with x over the members of a family, such as within-model similarity with log10 of the parameters.

    Raises:
        UserError: under three members, a missing value, or all x alike.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(a) != len(b) or len(a) < 3:
        raise UserError(
            f"A trend needs at least 3 members; there are {min(len(a), len(b))}. Add members to the family."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("A trend needs a value for every member; compute those that are missing first.")
    centred = a - a.mean()
    spread = float(centred @ centred)
    if spread <= 0:
        raise UserError("All members have the same size; a trend needs different ones.")
    slope = float(centred @ (b - b.mean())) / spread
    rest = b - b.mean() - slope * centred
    error = math.sqrt(max(0.0, float(rest @ rest)) / (len(a) - 2) / spread)
    half = t_quantile(0.5 + level / 2, len(a) - 2) * error
    rho, p = _rank_test(a, b, seed)
    return Trend(slope, np.array([slope - half, slope + half]), rho, p, len(a))


def _ranks(values: np.ndarray) -> np.ndarray:
    """(n,) ranks from 1, ties shared."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def _rank_test(a: np.ndarray, b: np.ndarray, seed: int) -> tuple[float, float]:
    ra, rb = _ranks(a) - (len(a) + 1) / 2, _ranks(b) - (len(b) + 1) / 2
    scale = math.sqrt(float(ra @ ra) * float(rb @ rb))
    if scale == 0:
        return 0.0, 1.0
    if len(a) <= _EXACT_ORDERS:
        orders = np.array(list(itertools.permutations(rb)))
    else:
        rng = np.random.default_rng(seed)
        orders = np.stack([rb, *(rng.permutation(rb) for _ in range(10_000))])
    found = float(ra @ rb) / scale
    return found, float((np.abs(orders @ ra) / scale >= abs(found) - 1e-9).mean())


def over_shapes(values: np.ndarray, level: float = 0.95) -> tuple[float, np.ndarray]:
    """(mean over pairs of different shapes, (2,) jackknife interval that leaves out one shape with all its pairs).

    Pairs share models, so an interval that took them for independent would be too narrow.

    Args:
        values: (S, S) symmetric, one number for each pair of shapes; the diagonal is not read.

    Raises:
        UserError: under four shapes, or a pair without a value.
    """
    n = len(values)
    off = ~np.eye(n, dtype=bool)
    if n < 4:
        raise UserError(
            f"An interval over shapes needs at least 4 of them; this family has {n}. Add members of other sizes."
        )
    if not np.isfinite(values[off]).all():
        raise UserError("Some pairs of the family have no similarity yet; compute them first.")
    whole = float(values[off].mean())
    parts = []
    for left_out in range(n):
        keep = np.arange(n) != left_out
        rest = values[np.ix_(keep, keep)]
        parts.append(rest[~np.eye(n - 1, dtype=bool)].mean())
    spread = np.array(parts) - np.mean(parts)
    error = math.sqrt((n - 1) / n * float(spread @ spread))
    half = t_quantile(0.5 + level / 2, n - 2) * error
    return whole, np.array([whole - half, whole + half])


@dataclass(frozen=True)
class Departure:
    """How far one shape's similarity to the others lies from what the rest of the family predicts.

    Args:
        shape: layers, width and head dimension; replicates share it.
        effect: mean over partners and seeds of similarity minus prediction, in CKA; negative is less alike than
            predicted.
        seed_error: standard error of the effect from training seeds, by the family's replicates.
        fit_error: standard error of the prediction.
        reach: the effect counts as odd where it exceeds this; a t quantile, corrected for the number of shapes.
        n_seeds: of the shape.
    """

    shape: str
    effect: float
    seed_error: float
    fit_error: float
    reach: float
    n_seeds: int

    @property
    def ratio(self) -> float:
        """|effect| over `reach`; above 1 the shape is odd."""
        return abs(self.effect) / self.reach if self.reach > 0 else math.inf

    @property
    def odd(self) -> bool:
        """Whether the departure is more than seeds and prediction explain."""
        return self.ratio > 1


@dataclass(frozen=True)
class OddReport:
    """Every shape's departure, and the shapes that are named odd, the oddest first.

    Args:
        departures: of all shapes, each predicted from all others.
        odd: each as it departs from a family without those named before it.
        seed_sd: standard deviation of a model's departure between seeds of one shape.
        seed_freedom: degrees of freedom of `seed_sd`.
    """

    departures: tuple[Departure, ...]
    odd: tuple[Departure, ...]
    seed_sd: float
    seed_freedom: int


def odd_members(
    similarity: np.ndarray, size: Sequence[float] | np.ndarray, shape: Sequence[str], level: float = 0.95
) -> OddReport:
    """Which shapes break the family's trend, by leaving each out in turn.

    For a shape P, the similarities of all pairs of *other* shapes (means over seeds) are fitted by
        s = β0 + β1 · (mean size of the two) + β2 · |difference of their sizes|
    and this predicts P's similarity to each of them. The yardstick is the spread of departures between seeds of one
    shape, pooled over all shapes that have several, joined with the error of the prediction (Welch-Satterthwaite
    degrees of freedom, Bonferroni over shapes). Pairs share models, so the prediction is given only as many degrees of
    freedom as partners less two.

    An odd member blurs what is expected of every other, so the candidate is the shape without which the others fit
    best; it is tested, and the search goes on without it until a candidate passes as regular.

    Args:
        similarity: (M, M) symmetric, of every model with every other, such as the mean of their map; the diagonal is
            not read.
        size: (M,) on the scale on which the trend is straight, such as log10 of the parameters.
        shape: (M,) what replicates have in common.

    Raises:
        UserError: under five shapes, no replicate, a missing value, or sizes that do not vary.
    """
    s, x, names = np.asarray(similarity, dtype=float), np.asarray(size, dtype=float), np.asarray(shape)
    _check(s, x, names)
    first, seed_sd, freedom = _departures(s, x, names, level)
    departures, named = first, []
    while True:
        worst = min(departures, key=lambda d: d.fit_error)  # the others fit best without it
        if not worst.odd:
            break
        named.append(worst)
        keep = ~np.isin(names, [d.shape for d in named])
        if len(set(names[keep])) < MIN_SHAPES:
            break
        departures = _departures(s[np.ix_(keep, keep)], x[keep], names[keep], level, (seed_sd, freedom))[0]
    return OddReport(tuple(first), tuple(named), seed_sd, freedom)


def _check(s: np.ndarray, x: np.ndarray, names: np.ndarray) -> None:
    shapes, counts = np.unique(names, return_counts=True)
    if s.shape != (len(x), len(x)) or len(names) != len(x):
        raise UserError(f"Similarities {s.shape}, {len(x)} sizes and {len(names)} shapes do not belong to one family.")
    if len(shapes) < MIN_SHAPES:
        raise UserError(
            f"An odd member can be told from at least {MIN_SHAPES} different shapes; "
            f"this family has {len(shapes)}. Add members."
        )
    if counts.max() < 2:
        raise UserError(
            "No shape of this family was trained with two seeds, so there is no yardstick for a departure. "
            "Add a replicate."
        )
    if not np.isfinite(s[~np.eye(len(x), dtype=bool)]).all() or not np.isfinite(x).all():
        raise UserError(
            "Some pairs of the family have no similarity yet; compute them before asking for the odd member."
        )
    if np.ptp(x) == 0:
        raise UserError("All members have the same size, so the family predicts nothing; add members of other sizes.")


def _departures(
    s: np.ndarray, x: np.ndarray, names: np.ndarray, level: float, yardstick: tuple[float, int] | None = None
) -> tuple[list[Departure], float, int]:
    """(a departure a shape, seed sd, its degrees of freedom); the last two as given where `yardstick` is."""
    shapes = list(dict.fromkeys(names.tolist()))
    single = {p: _departures_of(s, x, names, p) for p in shapes}
    if yardstick is None:
        spreads = [(len(d) - 1, d.var(ddof=1)) for d, _, _ in single.values() if len(d) > 1]
        freedom = sum(n for n, _ in spreads)
        seed_sd = math.sqrt(sum(n * v for n, v in spreads) / freedom)
    else:
        seed_sd, freedom = yardstick
    found = []
    for p in shapes:
        each, fit_variance, fit_freedom = single[p]
        seed_variance = seed_sd**2 / len(each)
        total = seed_variance + fit_variance
        nu = total**2 / max(seed_variance**2 / freedom + fit_variance**2 / fit_freedom, 1e-300)
        reach = t_quantile(1 - (1 - level) / (2 * len(shapes)), max(1, int(nu))) * math.sqrt(total)
        found.append(
            Departure(str(p), float(each.mean()), math.sqrt(seed_variance), math.sqrt(fit_variance), reach, len(each))
        )
    return found, seed_sd, freedom


def _departures_of(s: np.ndarray, x: np.ndarray, names: np.ndarray, p: str) -> tuple[np.ndarray, float, int]:
    """((seeds of p,) departures; variance of the mean prediction; its degrees of freedom)."""
    own = np.flatnonzero(names == p)
    others = [np.flatnonzero(names == q) for q in dict.fromkeys(names.tolist()) if q != p]
    pairs = list(itertools.combinations(others, 2))
    design = np.array([_terms(x[a].mean(), x[b].mean()) for a, b in pairs])
    target = np.array([s[np.ix_(a, b)].mean() for a, b in pairs])
    inverse = np.linalg.pinv(design.T @ design)
    weights = inverse @ design.T @ target
    rank = int(np.linalg.matrix_rank(design))
    rest = target - design @ weights
    residual = float(rest @ rest) / max(1, len(pairs) - rank)
    wanted = np.array([_terms(x[own].mean(), x[q].mean()) for q in others])
    each = np.array([np.mean([s[m, q].mean() - wanted[i] @ weights for i, q in enumerate(others)]) for m in own])
    at = wanted.mean(axis=0)
    return each, residual * (float(at @ inverse @ at) + 1 / len(others)), max(1, len(others) - 2)


def _terms(a: float, b: float) -> tuple[float, float, float]:
    return 1.0, (a + b) / 2, abs(a - b)
