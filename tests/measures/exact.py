"""HSIC in exact rational arithmetic, straight from the definitions: slow and beyond doubt."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np


def integer_features(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """(n, d) small whole numbers, so that Gram matrices are exact."""
    return rng.integers(-4, 5, size=(n, d))


def gram(x: np.ndarray) -> list[list[Fraction]]:
    """x xᵀ in fractions."""
    return [[Fraction(int(a @ b)) for b in x] for a in x]


def u_statistic(x: np.ndarray, y: np.ndarray, sequences: list[int] | None = None) -> Fraction:
    """Mean of K_ij (L_ij + L_qr − 2 L_iq) over ordered 4-tuples of distinct tokens, or of tokens of four distinct
    sequences."""
    K, L, n = gram(x), gram(y), len(x)
    groups = list(range(n)) if sequences is None else sequences
    total, count = Fraction(0), 0
    for i, j, q, r in permutations(range(n), 4):
        if len({groups[i], groups[j], groups[q], groups[r]}) == 4:
            total += K[i][j] * (L[i][j] + L[q][r] - 2 * L[i][q])
            count += 1
    return total / count


def v_statistic(x: np.ndarray, y: np.ndarray) -> Fraction:
    """tr(K H L H) / (n − 1)² with H = I − 11ᵀ/n: the biased estimator."""
    n = len(x)
    centred = [
        [[Fraction(int(v)) - Fraction(int(z[:, k].sum()), n) for k, v in enumerate(row)] for row in z] for z in (x, y)
    ]
    K, L = ([[sum(a * b for a, b in zip(s, t)) for t in rows] for s in rows] for rows in centred)
    return sum(K[i][j] * L[i][j] for i in range(n) for j in range(n)) / Fraction((n - 1) ** 2)
