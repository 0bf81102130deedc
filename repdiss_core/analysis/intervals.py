"""Simultaneous intervals over layers: over evaluation sequences, and over seeds of both activation functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import t_quantile

MIN_SEEDS = 3


@dataclass(frozen=True, eq=False)
class Differences:
    """A difference at each layer with its simultaneous interval.

    Args:
        mean, lower, upper: (L,), in the unit of the samples.
        level: joint confidence of all layers together.
        n: samples (sequences, or seeds of the less replicated side).
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float
    n: int

    @property
    def all_above_zero(self) -> bool:
        """Whether every layer's interval lies above 0."""
        return bool(np.all(self.lower > 0))

    @property
    def some_below_zero(self) -> bool:
        """Whether some layer's interval lies below 0."""
        return bool(np.any(self.upper < 0))


def over_samples(samples: np.ndarray, level: float = 0.95) -> Differences:
    """Student's t intervals of the row means, widened by Bonferroni so that all hold together.

    Args:
        samples: (L, n) paired differences, such as one a sequence.

    Raises:
        UserError: fewer than two samples.
    """
    n_layers, n = samples.shape
    if n < 2:
        raise UserError(f"An interval needs at least 2 samples; there is {n}. Evaluate more sequences.")
    error = samples.std(axis=1, ddof=1) / np.sqrt(n)
    half = t_quantile(1 - (1 - level) / (2 * n_layers), n - 1) * error
    mean = samples.mean(axis=1)
    return Differences(mean, mean - half, mean + half, level, n)


def over_crossed_seeds(table: np.ndarray, level: float = 0.95) -> Differences | None:
    """The same over seeds, for a table in which every seed of one side meets every seed of the other.

    Cells of a row or a column share a model, so they are not independent. The variance of the grand mean is estimated
    by s²(row means)/n_a + s²(column means)/n_b, which counts the interaction twice and so errs to the wide side; the
    t quantile takes the smaller side's n − 1 degrees of freedom.

    Args:
        table: (n_a, n_b, L).

    Returns:
        None under three seeds on either side: a claim about the activation function is then undecided.
    """
    n_a, n_b, n_layers = table.shape
    if min(n_a, n_b) < MIN_SEEDS:
        return None
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    error = np.sqrt(rows.var(axis=0, ddof=1) / n_a + columns.var(axis=0, ddof=1) / n_b)
    half = t_quantile(1 - (1 - level) / (2 * n_layers), min(n_a, n_b) - 1) * error
    mean = table.mean(axis=(0, 1))
    return Differences(mean, mean - half, mean + half, level, min(n_a, n_b))


def p_words(p: float, in_table: bool = False) -> str:
    """A p-value as it is written everywhere: ".003"; under .001 "below .001" in a sentence and "< .001" in a table."""
    return ("< .001" if in_table else "below .001") if p < 0.001 else f"{p:.3f}".removeprefix("0")
