"""An odd member and its regular twin: their difference over seeds, at equal tokens and at equal loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import t_quantile


@dataclass(frozen=True, eq=False)
class SeedDifference:
    """Mean over seeds of one kind of model minus that of the other.

    Args:
        mean: in the unit of the values.
        interval: (2,) Welch's t interval over seeds.
        n: seeds of the two kinds.
    """

    mean: float
    interval: np.ndarray
    n: tuple[int, int]

    @property
    def verdict(self) -> str:
        """ "higher", "lower" or "undecided": the sign of the difference where its interval leaves 0 out."""
        if self.interval[0] > 0:
            return "higher"
        return "lower" if self.interval[1] < 0 else "undecided"


def seed_difference(
    odd: Sequence[float] | np.ndarray, twin: Sequence[float] | np.ndarray, level: float = 0.95
) -> SeedDifference:
    """The difference of two kinds of model, one value a seed; seeds of the two are not paired.

    Raises:
        UserError: under two seeds of either.
    """
    a, b = np.asarray(odd, dtype=float), np.asarray(twin, dtype=float)
    if min(len(a), len(b)) < 2:
        raise UserError(
            f"A difference over seeds needs at least 2 of each; there are {len(a)} and {len(b)}. Train more seeds."
        )
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = (
        (va + vb) ** 2 / max(va**2 / (len(a) - 1) + vb**2 / (len(b) - 1), 1e-300)
        if va + vb > 0
        else len(a) + len(b) - 2
    )
    half = t_quantile(0.5 + level / 2, max(1, int(freedom))) * math.sqrt(va + vb)
    mean = float(a.mean() - b.mean())
    return SeedDifference(mean, np.array([mean - half, mean + half]), (len(a), len(b)))


def value_at_loss(losses: Sequence[float], values: Sequence[float], target: float) -> float:
    """The value that a training had when its loss was `target`: linear between the two checkpoints around it.

    Args:
        losses: of the checkpoints, in any order; no two alike.
        values: measured at each of them.

    Raises:
        UserError: under two checkpoints, or a target outside their losses: nothing is extrapolated.
    """
    order = np.argsort(losses)
    x, y = np.asarray(losses, dtype=float)[order], np.asarray(values, dtype=float)[order]
    if len(x) < 2 or len(x) != len(y) or (np.diff(x) <= 0).any():
        raise UserError(
            f"A value at equal loss needs at least 2 checkpoints of different losses; there are {len(set(x.tolist()))}."
        )
    if not x[0] <= target <= x[-1]:
        raise UserError(
            f"The checkpoints have losses from {x[0]:.3f} to {x[-1]:.3f}; {target:.3f} lies outside, "
            "and nothing is extrapolated."
        )
    return float(np.interp(target, x, y))


def difference_at_loss(
    odd: Sequence[tuple[float, float]],
    twin: Sequence[tuple[float, float]],
    twin_ends: Sequence[float] | np.ndarray,
    level: float = 0.95,
) -> SeedDifference:
    """Odd members minus their twin at the loss that each odd member has:
    is the difference more than that of worse models?

    The twin's value at a loss is read off one training (`value_at_loss`). Another seed would have given another path;
    its standard deviation is taken from the ends of all trainings of the twin, and since one path serves all odd
    members it does not shrink with their number. The interval is a t interval with Welch and Satterthwaite's degrees of
    freedom.

    Args:
        odd: (loss, value) of each odd member, a seed each.
        twin: (loss, value) of the checkpoints of one training of the twin.
        twin_ends: values at the end of every training of the twin, a seed each.

    Raises:
        UserError: under two odd members or two trainings of the twin, or a loss outside the path.
    """
    if min(len(odd), len(twin_ends)) < 2:
        raise UserError(
            f"A difference over seeds needs at least 2 of each; there are {len(odd)} and {len(twin_ends)}. "
            "Train more seeds."
        )
    losses, values = zip(*twin, strict=True)
    apart = np.array([value - value_at_loss(losses, values, loss) for loss, value in odd])
    own, path = apart.var(ddof=1) / len(apart), float(np.var(twin_ends, ddof=1))
    freedom = (
        (own + path) ** 2 / max(own**2 / (len(apart) - 1) + path**2 / (len(twin_ends) - 1), 1e-300)
        if own + path > 0
        else len(apart)
    )
    half = t_quantile(0.5 + level / 2, max(1, int(freedom))) * math.sqrt(own + path)
    mean = float(apart.mean())
    return SeedDifference(mean, np.array([mean - half, mean + half]), (len(odd), len(twin_ends)))
