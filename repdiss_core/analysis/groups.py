"""Two groups of models, and by how much pairs between them differ from pairs within:
with tests that respect that pairs share models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.reduction import t_quantile

EXACT_SPLITS = 20_000
RANDOM_SPLITS = 10_000
MIN_GROUP = 2


@dataclass(frozen=True)
class Groups:
    """The best and the worst k models of a population by some accuracy; `top` best first, `bottom` worst first."""

    top: tuple[str, ...]
    bottom: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Both groups, the top one first."""
        return self.top + self.bottom

    @property
    def is_top(self) -> np.ndarray:
        """(2k,) bool over `models`."""
        return np.arange(len(self.models)) < len(self.top)

    @property
    def k(self) -> int:
        """Models a group."""
        return len(self.top)

    @property
    def n_pairs(self) -> int:
        """Distinct pairs of models within and between the groups: 2·C(k, 2) + k²; 190 at the paper's k = 10."""
        return 2 * math.comb(self.k, 2) + self.k**2


def split_groups(accuracy: Mapping[str, float], k: int) -> Groups:
    """The k models of highest and the k of lowest accuracy; equal accuracies are ordered by name.

    Raises:
        UserError: k below 2, or above half the population.
    """
    if not MIN_GROUP <= k <= len(accuracy) // 2:
        raise UserError(
            f"Two groups of {k} models cannot be taken from a population of {len(accuracy)}: "
            f"choose k from {MIN_GROUP} to {len(accuracy) // 2}, "
            "so that no model is in both."
        )
    ranked = sorted(accuracy, key=lambda name: (-accuracy[name], name))
    return Groups(tuple(ranked[:k]), tuple(ranked[: -k - 1 : -1]))


def pair_values(matrix: np.ndarray, is_top: np.ndarray) -> dict[str, np.ndarray]:
    """Values of the ordered pairs of each kind: "top_top", "bottom_bottom", "top_bottom", "bottom_top".

    Args:
        matrix: (M, M, L) value of f (first axis, the bottom of a stitch) with g; the diagonal is not read.

    Returns:
        {kind: (n_pairs, L)}; for a symmetric measure use `unordered_pair_values`.
    """
    off = ~np.eye(len(matrix), dtype=bool)
    kinds = {
        "top_top": (is_top, is_top),
        "bottom_bottom": (~is_top, ~is_top),
        "top_bottom": (is_top, ~is_top),
        "bottom_top": (~is_top, is_top),
    }
    return {kind: matrix[np.outer(f, g) & off] for kind, (f, g) in kinds.items()}


def unordered_pair_values(matrix: np.ndarray, is_top: np.ndarray) -> dict[str, np.ndarray]:
    """The same for a symmetric measure: "top_top", "bottom_bottom" and "top_bottom", each pair once."""
    upper = np.triu(np.ones(matrix.shape[:2], dtype=bool), 1)
    mixed = np.not_equal.outer(is_top, is_top)
    both = {"top_top": np.outer(is_top, is_top), "bottom_bottom": np.outer(~is_top, ~is_top), "top_bottom": mixed}
    return {kind: matrix[chosen & upper] for kind, chosen in both.items()}


def over_pairs(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """((L,) mean, (2, L) t interval) over pairs as if they were independent:
    the paper's way, too narrow since pairs share models."""
    n = len(values)
    mean = values.mean(axis=0)
    if n < 2:
        return mean, np.full((2, *mean.shape), np.nan)
    half = t_quantile(1 - (1 - level) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, np.stack([mean - half, mean + half])


def gap(matrix: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(S, L) mean over pairs within a group minus mean over pairs between groups, for each split.

    With s = ±1 for the two groups, Σ_within = (T + s'Ws)/2 and Σ_between = (T − s'Ws)/2, where T sums all pairs.

    Args:
        matrix: (M, M, L), symmetric or not; the diagonal is not read.
        signs: (S, M) of ±1, every row with as many +1 as the first.
    """
    m = len(matrix)
    w = np.where(np.eye(m, dtype=bool)[:, :, None], 0.0, matrix)
    alike = np.einsum("si,ijl,sj->sl", signs, w, signs, optimize=True)
    total = w.sum(axis=(0, 1))
    k = int((signs[0] > 0).sum())
    n_within, n_between = k * (k - 1) + (m - k) * (m - k - 1), 2 * k * (m - k)
    return (total + alike) / 2 / n_within - (total - alike) / 2 / n_between


def direction(matrix: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(S, L) mean over pairs top → bottom minus mean over pairs bottom → top, for each split."""
    top, bottom = (signs > 0).astype(float), (signs < 0).astype(float)
    turned = matrix - matrix.transpose(1, 0, 2)
    k = top[0].sum()
    return np.einsum("si,ijl,sj->sl", top, turned, bottom, optimize=True) / (k * bottom[0].sum())


def level(matrix: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(S, L) mean over pairs within the top group minus mean over pairs within the bottom one, for each split."""
    top, bottom = (signs > 0).astype(float), (signs < 0).astype(float)
    w = np.where(np.eye(len(matrix), dtype=bool)[:, :, None], 0.0, matrix)
    sums = [np.einsum("si,ijl,sj->sl", group, w, group, optimize=True) for group in (top, bottom)]
    sizes = [group[0].sum() * (group[0].sum() - 1) for group in (top, bottom)]
    return sums[0] / sizes[0] - sums[1] / sizes[1]


STATISTICS = {"gap": gap, "direction": direction, "level": level}


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """An effect at each layer and how often a random split of the same models does as well.

    Args:
        effect: (L,).
        p: (L,) two-sided, each layer by itself.
        p_adjusted: (L,) the same corrected for the layers tested (Westfall and Young's max statistic).
        n_splits: splits compared; all there are where `exact`.
        n_models: that were split.
    """

    effect: np.ndarray
    p: np.ndarray
    p_adjusted: np.ndarray
    n_splits: int
    exact: bool
    n_models: int


def permutation_test(matrix: np.ndarray, is_top: np.ndarray, statistic: str = "gap", seed: int = 0) -> PermutationTest:
    """Whether the split into groups matters, by splitting the *models* at random instead.

    Pairs share models, so only whole models are exchangeable. Each layer's statistic is divided by its standard
    deviation over splits; the adjusted p of a layer is the share of splits whose largest |z| over all layers reaches
    its own.

    Args:
        matrix: (M, M, L) as in `gap`.
        is_top: (M,) bool, the split that is tested.
        statistic: "gap", "direction" or "level".
        seed: of the random splits, where there are too many to go through all.

    Raises:
        UserError: matrices with missing pairs.
    """
    m = len(matrix)
    off = ~np.eye(m, dtype=bool)
    if not np.isfinite(matrix[off]).all():
        raise UserError(
            f"{int((~np.isfinite(matrix[off])).any(axis=1).sum())} pairs of models have no value at some layer; "
            "compute them before testing groups."
        )
    signs, exact = _splits(is_top, seed)
    found = STATISTICS[statistic](matrix, signs)
    scale = found.std(axis=0)
    z = np.abs(np.divide(found, scale, out=np.zeros_like(found), where=scale > 1e-12))
    tolerance = 1e-9  # equal splits (the mirrored one) must count as equal
    p = (z >= z[0] - tolerance).mean(axis=0)
    adjusted = (z.max(axis=1)[:, None] >= z[0] - tolerance).mean(axis=0)
    return PermutationTest(found[0], p, np.maximum(p, adjusted), len(signs), exact, m)


def jackknife(matrix: np.ndarray, is_top: np.ndarray, statistic: str = "gap", confidence: float = 0.95) -> np.ndarray:
    """(2, L) interval of a statistic by leaving out one model at a time (all its pairs go with it)."""
    signs = np.where(is_top, 1.0, -1.0)
    measure = STATISTICS[statistic]
    whole = measure(matrix, signs[None])[0]
    m = len(matrix)
    left_out = []
    for i in range(m):
        rest = np.arange(m) != i
        left_out.append(measure(matrix[rest][:, rest], signs[None, rest])[0])
    parts = np.stack(left_out)
    error = np.sqrt((m - 1) / m * ((parts - parts.mean(axis=0)) ** 2).sum(axis=0))
    half = t_quantile(1 - (1 - confidence) / 2, m - 2) * error
    return np.stack([whole - half, whole + half])


def _splits(is_top: np.ndarray, seed: int) -> tuple[np.ndarray, bool]:
    """((S, M) of ±1, the tested split first; whether all splits are there)."""
    m, k = len(is_top), int(is_top.sum())
    own = np.where(is_top, 1.0, -1.0)
    if math.comb(m, k) <= EXACT_SPLITS:
        rows = np.full((math.comb(m, k), m), -1.0)
        for row, chosen in enumerate(itertools.combinations(range(m), k)):
            rows[row, list(chosen)] = 1.0
        others = rows[(rows != own).any(axis=1)]
        return np.concatenate([own[None], others]), True
    rng = np.random.default_rng(seed)
    return np.concatenate([own[None], np.stack([rng.permutation(own) for _ in range(RANDOM_SPLITS)])]), False
