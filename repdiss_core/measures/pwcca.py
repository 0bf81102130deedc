"""PWCCA: canonical correlations weighted by what they explain of the first layer. Legacy: prefer the other measures.

Σ_i w_i ρ_i / Σ_i w_i with ρ_i the canonical correlations of X and Y, h_i the i-th canonical variate of X (length 1) and
w_i = Σ_j |h_i · x_j| over the features x_j of X (Morcos, Raghu and Bengio 2018). The weights are always f's.

From 0 to 1; 1 for equal input, above 0 for independent features and growing with d/n (.301 at n = 128, d = 16). It
needs n > d_f + d_g. Not symmetric. Any invertible linear map of g changes nothing; of f a scale and a shift alone,
since the weights read f's features in their own axes. Largest error against float64 (n = 1024, d = 256, float32): 1e-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from repdiss_core.measures.canonical import basis_flops, check_widths, least_tokens
from repdiss_core.measures.shared import (
    DEFAULTS,
    BatchContext,
    LayerPreparations,
    OrthonormalBasis,
    PreparedLayers,
    as_preparations,
    check_partners,
    finished,
    single_batch,
)

__all__ = ["PreparedPwcca", "cross", "flops", "least_tokens", "prepare", "pwcca_matrix"]


@dataclass(frozen=True, eq=False)
class PreparedPwcca(PreparedLayers):
    """The orthonormal basis of each layer, and its number of features (L,)."""

    widths: tuple[int, ...]
    bases: list[OrthonormalBasis]


def pwcca_matrix(
    features_f: Sequence[Any] | LayerPreparations, features_g: Sequence[Any] | LayerPreparations
) -> np.ndarray:
    """(L_f, L_g) PWCCA of every pair of layers on one batch, weighted by f's; NaN for layers that do not vary.

    Args:
        features_f, features_g: (n, d) features of each layer, tensors or arrays; rows are the same tokens.

    Raises:
        UserError: as `prepare` and `cross`.
    """
    return single_batch(prepare, cross, features_f, features_g, BatchContext())


def prepare(layers: Sequence[Any] | LayerPreparations, context: BatchContext = DEFAULTS) -> PreparedPwcca:
    """The orthonormal basis of each layer.

    Raises:
        UserError: more features than tokens, or features as in `LayerPreparations`.
    """
    shared = as_preparations(layers, context)
    check_widths(shared.n_tokens, shared.widths, (0,), "PWCCA")  # no basis is made that no pair could use
    missing, notes = shared.without_value("PWCCA")
    return PreparedPwcca(shared.n_tokens, missing, notes, shared.widths, shared.bases)


def cross(f: PreparedPwcca, g: PreparedPwcca) -> np.ndarray:
    """(L_f, L_g) float64 PWCCA of every pair of layers, weighted by f's features.

    Raises:
        UserError: where token counts differ, and unless n > d_f + d_g (the sentence names the n that would do).
    """
    check_partners(f, g)
    check_widths(f.n_tokens, f.widths, g.widths, "PWCCA")
    values = np.zeros((f.n_layers, g.n_layers))
    for row, basis in enumerate(f.bases):
        for column, other in enumerate(g.bases):
            if not (f.missing[row] or g.missing[column]):
                values[row, column] = _weighted(basis, other)
    return finished(values, f, g)


def flops(n: int, d_f: int, d_g: int, layers_f: int = 1, layers_g: int = 1) -> float:
    """Operations a batch: a basis for each layer; a product, its decomposition and the weights for each pair."""
    small, large = min(d_f, d_g), max(d_f, d_g)
    pair = 2.0 * n * d_f * d_g + 6.0 * large * small**2 + 20.0 * small**3 + 2.0 * small * d_f * d_f
    return layers_f * basis_flops(n, d_f) + layers_g * basis_flops(n, d_g) + layers_f * layers_g * pair


def _weighted(f: OrthonormalBasis, g: OrthonormalBasis) -> float:
    left, correlations, _ = torch.linalg.svd(f.q.T @ g.q, full_matrices=False)
    weights = (left.T @ f.loadings).abs().sum(dim=1)  # |h_i · x_j| = |a_iᵀ Qᵀ X| with h_i = Q a_i
    return float((weights * correlations).sum() / weights.sum())
