"""SVCCA: the mean canonical correlation of the principal components of two layers. Legacy: prefer the other measures.

Each layer is cut to the fewest principal components that hold a share (99 %) of its variance; the value is the mean of
the min(r_f, r_g) canonical correlations of what is left (Raghu, Gilmer, Yosinski and Sohl-Dickstein 2017). With Q the
orthonormal components, these are the singular values of Q_fᵀ Q_g.

From 0 to 1; 1 for equal input, above 0 for independent features and growing with d/n (.300 at n = 128, d = 16). It
needs n > d_f + d_g. Symmetric. A rotation, a scale or a shift changes nothing; another invertible map changes which
components are left. Largest error against float64 (n = 1024, d = 256, float32): 1e-9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.canonical import basis_flops, check_widths, least_tokens
from repdiss_core.measures.shared import (
    DEFAULTS,
    BatchContext,
    LayerPreparations,
    PreparedLayers,
    as_preparations,
    check_partners,
    finished,
    single_batch,
)
from repdiss_core.measures.spectra import nuclear_norms, spectrum_flops

__all__ = ["VARIANCE", "PreparedSvcca", "cross", "flops", "least_tokens", "prepare", "svcca_matrix"]
VARIANCE = 0.99


@dataclass(frozen=True, eq=False)
class PreparedSvcca(PreparedLayers):
    """The components of each layer.

    Args:
        variance: the share that they hold.
        widths: (L,) features of each layer.
        components: [(n, r)] float64, orthonormal.
    """

    variance: float
    widths: tuple[int, ...]
    components: list[Tensor]


def svcca_matrix(
    features_f: Sequence[Any] | LayerPreparations,
    features_g: Sequence[Any] | LayerPreparations,
    variance: float = VARIANCE,
) -> np.ndarray:
    """(L_f, L_g) SVCCA of every pair of layers on one batch; NaN for layers that do not vary.

    Args:
        features_f, features_g: (n, d) features of each layer, tensors or arrays; rows are the same tokens.
        variance: the share of each layer's variance that its components hold, above 0 and at most 1.

    Raises:
        UserError: as `prepare` and `cross`.
    """
    return single_batch(prepare, cross, features_f, features_g, BatchContext(settings={"variance": variance}))


def prepare(layers: Sequence[Any] | LayerPreparations, context: BatchContext = DEFAULTS) -> PreparedSvcca:
    """Principal components of each layer.

    Raises:
        UserError: a share of variance outside (0, 1], more features than tokens, or features as in `LayerPreparations`.
    """
    variance = float(context.settings.get("variance", VARIANCE))
    if not 0.0 < variance <= 1.0:
        raise UserError(
            f"The share of variance that SVCCA keeps lies above 0 and is at most 1; {variance:g} was given."
        )
    shared = as_preparations(layers, context)
    check_widths(shared.n_tokens, shared.widths, (0,), "SVCCA")  # no basis is made that no pair could use
    missing, notes = shared.without_value("SVCCA")
    components = [basis.q[:, : _count(basis.singular_values, variance)] for basis in shared.bases]
    return PreparedSvcca(shared.n_tokens, missing, notes, variance, shared.widths, components)


def cross(f: PreparedSvcca, g: PreparedSvcca) -> np.ndarray:
    """(L_f, L_g) float64 mean canonical correlation of every pair of layers.

    Raises:
        UserError: where token counts or shares of variance differ, and unless n > d_f + d_g (the sentence names the n
            that would do).
    """
    check_partners(f, g)
    if f.variance != g.variance:
        raise UserError(
            f"f was prepared with {f.variance:g} of its variance and g with {g.variance:g}: prepare both alike."
        )
    check_widths(f.n_tokens, f.widths, g.widths, "SVCCA")
    ranks = np.minimum.outer(*([max(1, q.shape[1]) for q in side.components] for side in (f, g)))
    return finished(nuclear_norms(f.components, g.components, symmetric=f is g) / ranks, f, g)


def flops(n: int, d_f: int, d_g: int, layers_f: int = 1, layers_g: int = 1) -> float:
    """Operations a batch: a basis for each layer, a product and its singular values for each pair (at full rank)."""
    pairs = layers_f * layers_g * (2.0 * n * d_f * d_g + spectrum_flops(d_f, d_g))
    return layers_f * basis_flops(n, d_f) + layers_g * basis_flops(n, d_g) + pairs


def _count(singular_values: Tensor, variance: float) -> int:
    """The fewest components that hold the share of variance."""
    shares = torch.cumsum(singular_values**2, dim=0)
    if variance == 1.0 or len(shares) == 0:
        return len(shares)
    return int((shares < variance * shares[-1]).sum()) + 1
