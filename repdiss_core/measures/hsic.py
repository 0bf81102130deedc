"""HSIC of two Gram matrices, and the estimators of it that CKA can be built on. numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError

MIN_TOKENS = 4  # HSIC₁ is a mean over 4-tuples of distinct tokens
SYMMETRY = 1e-5  # largest |K − Kᵀ| over the largest |K| that float32 rounding explains


def hsic1(K: Any, L: Any) -> float:
    """The unbiased HSIC of two Gram matrices, a number that is 0 on average for unrelated features and may be negative.

    HSIC₁(K, L) = [tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1)/((n−1)(n−2)) − 2/(n−2)·1ᵀK̃L̃1] / (n(n−3)) with K̃, L̃ the matrices
    with zeroed diagonals (Song et al. 2012). Computed as ⟨Ã, B̃⟩/(n(n−3)) with the U-centred Ã, B̃ (Székely and
    Rizzo 2014), which is the same number and loses fewer digits.

    Args:
        K, L: (n, n) symmetric Gram matrices, arrays or tensors; n ≥ 4.

    Raises:
        UserError: for matrices that are not square, not symmetric, not finite, of different size, or smaller than 4
            × 4.
    """
    a, b = _gram(K, "K"), _gram(L, "L")
    n = len(a)
    if len(b) != n:
        raise UserError(
            f"K is {n} × {n} but L is {len(b)} × {len(b)}; both must come from the same tokens in the same order."
        )
    return float(np.sum(u_centred(a) * u_centred(b)) / (n * (n - 3)))


def u_centred(K: np.ndarray) -> np.ndarray:
    """(n, n) Ã: zero diagonal and zero row sums, Ã_ij = K_ij − s_i/(n−2) − s_j/(n−2) + Σs/((n−1)(n−2)) with s the
    row sums of K̃."""
    n = len(K)
    A = K - np.median(K)  # a constant does not change Ã; taking it out first keeps digits of features with a large mean
    np.fill_diagonal(A, 0.0)
    s = A.sum(axis=0)
    A += s.sum() / ((n - 1) * (n - 2)) - (s[:, None] + s[None, :]) / (n - 2)
    np.fill_diagonal(A, 0.0)
    return A


def _gram(K: Any, name: str) -> np.ndarray:
    """K as a checked float64 array."""
    if hasattr(K, "detach"):  # a tensor: numpy has no bfloat16 and cannot read other devices
        K = K.detach().cpu().double().numpy()
    K = np.asarray(K, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1]:
        raise UserError(f"{name} has shape {K.shape}, but a Gram matrix is square, (n, n): give features @ features.T.")
    check_token_count(len(K))
    if not np.isfinite(K).all():
        raise UserError(
            f"{name} holds NaN or infinite numbers; a Gram matrix must be finite: "
            "check the features that it was made of."
        )
    gap, largest = np.abs(K - K.T).max(), np.abs(K).max()
    if gap > SYMMETRY * largest:
        raise UserError(
            f"{name} is not symmetric (largest difference {gap:.3g}); a Gram matrix is: give features @ features.T."
        )
    return K


def check_token_count(n: int, what: str = "tokens") -> None:
    """Raise `UserError` where n is too small for HSIC₁."""
    if n < MIN_TOKENS:
        raise UserError(f"HSIC needs at least {MIN_TOKENS} {what}, and this batch holds {n}: use larger batches.")


@dataclass(frozen=True)
class Correction:
    """HSIC(f, g) = [Σ_ij V_ij K_ij L_ij + Σ_k w_k φ_k(f) φ_k(g)] / denominator, K and L being Gram matrices of
    centred features.

    Args:
        weights: (p,) w; φ are the statistics that the estimator takes of each layer.
        denominator: what the sum is divided by.
        pair_weights: (n, n) V ≥ 0, or None for ones.
    """

    weights: np.ndarray
    denominator: float
    pair_weights: np.ndarray | None = None


@dataclass(frozen=True)
class Estimator:
    """An estimator of HSIC, in the form that `Correction` spells out.

    Args:
        keep_diagonal: whether K_ii enters.
        robust_centre: whether massive tokens may be left out of the centre (not where the estimator depends on the
            centre).
        correction: (n tokens, sequence ids or None) -> Correction.
        statistics: (row sums of K̃ (n,), diagonal of K (n,), features (n, d), sequence ids) -> φ (p,) float64; the
            features are handed over only where sequences are needed.
        needs_sequences: whether sequence ids are needed.
    """

    name: str
    label: str
    keep_diagonal: bool
    robust_centre: bool
    correction: Callable[[int, np.ndarray | None], Correction]
    statistics: Callable[[np.ndarray, np.ndarray, Any, np.ndarray | None], np.ndarray]
    needs_sequences: bool = False


def _unbiased_correction(n: int, ids: np.ndarray | None) -> Correction:
    return Correction(np.append(np.full(n, -2.0 / (n - 2)), 1.0 / ((n - 1) * (n - 2))), float(n * (n - 3)))


def _unbiased_statistics(row_sums: np.ndarray, diagonal: np.ndarray, c: Any, ids: np.ndarray | None) -> np.ndarray:
    return np.append(row_sums, row_sums.sum())


def _biased_correction(n: int, ids: np.ndarray | None) -> Correction:
    return Correction(np.append(np.full(n, -2.0 / n), 1.0 / n**2), float((n - 1) ** 2))


def _biased_statistics(row_sums: np.ndarray, diagonal: np.ndarray, c: Any, ids: np.ndarray | None) -> np.ndarray:
    rows = row_sums + diagonal
    return np.append(rows, rows.sum())


UNBIASED = Estimator("unbiased", "unbiased (HSIC₁)", False, True, _unbiased_correction, _unbiased_statistics)
BIASED = Estimator(
    "biased", "biased (HSIC₀, as in Kornblith et al. 2019)", True, False, _biased_correction, _biased_statistics
)
