"""The measures written slowly from their formulas, in float64 numpy: loops where the formula has sums."""

from __future__ import annotations

import numpy as np
from scipy.stats import pearsonr, spearmanr


def centred(x: np.ndarray) -> np.ndarray:
    """Columns of mean 0."""
    x = np.asarray(x, dtype=np.float64)
    return x - x.mean(axis=0)


def rsa(x: np.ndarray, y: np.ndarray, correlation: str = "spearman") -> float:
    """Correlation of 1 − Pearson's r over pairs of rows."""
    upper = np.triu_indices(len(x), 1)
    first, second = ((1.0 - np.corrcoef(centred(a)))[upper] for a in (x, y))
    return float((spearmanr if correlation == "spearman" else pearsonr)(first, second).statistic)


def neighbours(x: np.ndarray, k: int, ids: np.ndarray | None = None) -> list[list[int]]:
    """For each token, the k nearest by cosine, the first in the batch where several are equally near."""
    x = centred(x)
    lengths = np.sqrt((x**2).sum(axis=1))
    lists = []
    for i in range(len(x)):
        cosine = (x @ x[i]) / (lengths * lengths[i])
        allowed = [j for j in range(len(x)) if i != j and (ids is None or ids[i] != ids[j])]
        lists.append(sorted(allowed, key=lambda j: (-cosine[j], j))[:k])
    return lists


def mutual_knn(x: np.ndarray, y: np.ndarray, k: int = 10, ids: np.ndarray | None = None) -> float:
    """Mean share of common neighbours."""
    pairs = zip(neighbours(x, k, ids), neighbours(y, k, ids), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def jaccard_knn(x: np.ndarray, y: np.ndarray, k: int = 10, ids: np.ndarray | None = None) -> float:
    """Mean of common neighbours over all neighbours."""
    pairs = zip(neighbours(x, k, ids), neighbours(y, k, ids), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in pairs]))


def cosines(x: np.ndarray) -> np.ndarray:
    """(n, n)."""
    x = centred(x)
    x = x / np.sqrt((x**2).sum(axis=1, keepdims=True))
    return x @ x.T


def masked_hsic(K: np.ndarray, L: np.ndarray, mask: np.ndarray) -> float:
    """HSIC₁ as Song et al. 2012 print it, of masked matrices that need not be symmetric."""
    n = len(K)
    A, B = K * mask, L * mask
    np.fill_diagonal(A, 0.0)
    np.fill_diagonal(B, 0.0)
    ones = np.ones(n)
    value = np.trace(A @ B) + (ones @ A @ ones) * (ones @ B @ ones) / ((n - 1) * (n - 2))
    return float((value - 2.0 / (n - 2) * (ones @ A @ B @ ones)) / (n * (n - 3)))


def published_cknna(x: np.ndarray, y: np.ndarray, k: int = 10, ids: np.ndarray | None = None) -> float:
    """As in Huh et al. 2024, which depends on the order of x and y."""
    n, masks = len(x), []
    for a in (x, y):
        mask = np.zeros((n, n))
        for i, near in enumerate(neighbours(a, k, ids)):
            mask[i, near] = 1.0
        masks.append(mask)
    K, L = cosines(x), cosines(y)
    own = masked_hsic(K, K, masks[0]) * masked_hsic(L, L, masks[1])
    return masked_hsic(K, L, masks[0] * masks[1]) / np.sqrt(own)


def cknna(x: np.ndarray, y: np.ndarray, k: int = 10, ids: np.ndarray | None = None) -> float:
    """The mean of both orders."""
    return (published_cknna(x, y, k, ids) + published_cknna(y, x, k, ids)) / 2


def procrustes(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of singular values over Frobenius norms."""
    x, y = centred(x), centred(y)
    return float(np.linalg.norm(x.T @ y, "nuc") / (np.linalg.norm(x) * np.linalg.norm(y)))


def canonical(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ρ in descending order, canonical variates of x (n, r)) by the eigenvectors of S_xx⁻¹ S_xy S_yy⁻¹ S_yx."""
    sxx, syy, sxy = x.T @ x, y.T @ y, x.T @ y
    values, vectors = np.linalg.eig(np.linalg.solve(sxx, sxy) @ np.linalg.solve(syy, sxy.T))
    order = np.argsort(-values.real)[: min(x.shape[1], y.shape[1])]
    variates = x @ vectors.real[:, order]
    return np.sqrt(np.maximum(values.real[order], 0.0)), variates / np.linalg.norm(variates, axis=0)


def principal(x: np.ndarray, variance: float) -> np.ndarray:
    """(n, r) scores on the fewest principal components that hold the share of variance."""
    values, vectors = np.linalg.eigh(x.T @ x)
    values, vectors = values[::-1], vectors[:, ::-1]
    count = 1
    while values[:count].sum() < variance * values.sum():
        count += 1
    return x @ vectors[:, :count]


def svcca(x: np.ndarray, y: np.ndarray, variance: float = 0.99) -> float:
    """Mean canonical correlation of the principal components."""
    return float(canonical(principal(centred(x), variance), principal(centred(y), variance))[0].mean())


def pwcca(x: np.ndarray, y: np.ndarray) -> float:
    """Canonical correlations weighted by Σ_j |h_i · x_j|."""
    x, y = centred(x), centred(y)
    correlations, variates = canonical(x, y)
    weights = [sum(abs(float(h @ column)) for column in x.T) for h in variates.T]
    return float(np.average(correlations, weights=weights))


def linear_predictivity(
    fit_x: np.ndarray, fit_y: np.ndarray, scored: list[tuple[np.ndarray, np.ndarray]], ridge: float
) -> float:
    """Held-out share of variance of a ridge map, from the rows themselves."""
    mean_x, mean_y = fit_x.mean(axis=0), fit_y.mean(axis=0)
    x = fit_x - mean_x
    penalty = ridge * np.linalg.eigvalsh(x.T @ x).mean() * np.eye(x.shape[1])
    w = np.linalg.solve(x.T @ x + penalty, x.T @ (fit_y - mean_y))
    errors = total = 0.0
    for a, b in scored:
        errors += float(((b - mean_y - (a - mean_x) @ w) ** 2).sum())
        total += float(((b - b.mean(axis=0)) ** 2).sum())
    return 1.0 - errors / total
