"""HSIC in float64 from whole Gram matrices: plain formulas, no tiles, no folding, another centre than the kernel's."""

from __future__ import annotations

import numpy as np

from repdiss_core.measures.hsic import u_centred


def dense_gram(x: np.ndarray) -> np.ndarray:
    """(n, n) Gram matrix around the median of the tokens."""
    x = np.asarray(x, dtype=np.float64)
    x = x - np.median(x, axis=0)
    return x @ x.T


def dense_hsic(K: np.ndarray, L: np.ndarray, estimator: str, ids: np.ndarray | None = None) -> float:
    """HSIC of two Gram matrices with any of the estimators."""
    n = len(K)
    if estimator == "unbiased":
        return float(np.sum(u_centred(K) * u_centred(L)) / (n * (n - 3)))
    if estimator == "biased":
        return float(np.sum(_doubly_centred(K) * _doubly_centred(L)) / (n - 1) ** 2)
    return _sequence_aware(K, L, ids)


def _doubly_centred(K: np.ndarray) -> np.ndarray:
    """H K H with H = I − 11ᵀ/n."""
    return K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()


def _sequence_aware(K: np.ndarray, L: np.ndarray, ids: np.ndarray) -> float:
    """The printed T1, T3, T4 with whole matrices."""
    n, E = len(K), (ids[:, None] == np.unique(ids)[None, :]).astype(float)
    same = E @ E.T > 0
    K, L = np.where(same, 0, K), np.where(same, 0, L)
    lengths = E.sum(axis=0)
    m = E @ lengths
    M2, M3, M4 = ((lengths**k).sum() for k in (2, 3, 4))
    W = (n - m[:, None] - m[None, :]) ** 2 - M2 + m[:, None] ** 2 + m[None, :] ** 2
    P, R, r, s = K @ E, L @ E, K.sum(1), L.sum(1)
    Q, U = E.T @ K @ E, E.T @ L @ E
    T1 = (K * L * W).sum()
    T3 = ((n - m) * (r * s - (P * R).sum(1)) - (P @ lengths) * s - r * (R @ lengths) + 2 * (P * R) @ lengths).sum()
    T4 = Q.sum() * U.sum() - 4 * Q.sum(1) @ U.sum(1) + 2 * (Q * U).sum()
    return float((T1 + T4 - 2 * T3) / (n**4 - 6 * n**2 * M2 + 8 * n * M3 + 3 * M2**2 - 6 * M4))


def dense_cka(f: list[np.ndarray], g: list[np.ndarray], estimator: str, ids: np.ndarray | None = None) -> np.ndarray:
    """(L_f, L_g) CKA."""
    f, g = [dense_gram(x) for x in f], [dense_gram(x) for x in g]
    norms_f, norms_g = (np.sqrt([dense_hsic(K, K, estimator, ids) for K in layers]) for layers in (f, g))
    return np.array([[dense_hsic(K, L, estimator, ids) for L in g] for K in f]) / np.outer(norms_f, norms_g)
