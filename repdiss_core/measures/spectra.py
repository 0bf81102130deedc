"""Sums of singular values of the products of many pairs of matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def nuclear_norms(f: Sequence[Tensor], g: Sequence[Tensor], symmetric: bool = False) -> np.ndarray:
    """(L_f, L_g) float64: the sum of the singular values of FᵀG for every F (n, p) of f and G (n, q) of g.

    Args:
        symmetric: f is g, so that half of the pairs do.
    """
    values = np.zeros((len(f), len(g)))
    for row, x in enumerate(f):
        columns = range(row if symmetric else 0, len(g))
        products = x.T @ torch.cat([g[column] for column in columns], dim=1)
        for column, product in zip(
            columns, products.split([g[column].shape[1] for column in columns], dim=1), strict=True
        ):
            values[row, column] = nuclear_norm(product)
            if symmetric:
                values[column, row] = values[row, column]
    return values


def nuclear_norm(product: Tensor) -> float:
    """The sum of the singular values of a matrix (p, q).

    Roots of eigenvalues in float64, which takes half the time of a singular value decomposition.
    """
    m = (product if product.shape[0] <= product.shape[1] else product.T).double()
    return float(torch.linalg.eigvalsh(m @ m.T).clamp_(min=0).sqrt_().sum())


def spectrum_flops(p: int, q: int) -> float:
    """Operations for the singular values of a (p, q) matrix by `nuclear_norm`."""
    small, large = min(p, q), max(p, q)
    return 2.0 * small * small * large + 4.0 / 3.0 * small**3
