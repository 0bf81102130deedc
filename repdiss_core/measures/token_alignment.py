"""Which tokens two layers place alike among the others, and which tokens HSIC₁ comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.hsic import check_token_count, u_centred


@dataclass(frozen=True, eq=False)
class TokenAlignment:
    """How alike two layers place each token among the others of a batch.

    With Ã, B̃ the U-centred Gram matrices of the two layers (see `hsic.u_centred`):

    Args:
        cosine: (n,) Σ_j Ã_ij B̃_ij / sqrt(Σ_j Ã_ij² · Σ_j B̃_ij²), from −1 to 1: a token's own row alone, so that
            massive tokens do not drown the rest. NaN for a token whose row is 0 in either layer.
        contribution: (n,) Σ_j Ã_ij B̃_ij / (n(n−3)); they add up to HSIC₁.
    """

    cosine: np.ndarray
    contribution: np.ndarray

    @property
    def hsic1(self) -> float:
        """HSIC₁ of the two layers on this batch."""
        return float(self.contribution.sum())


def token_alignment(features_f: Any, features_g: Any) -> TokenAlignment:
    """The alignment of every token of one batch.

    Args:
        features_f: (n, d_f) features of a layer, arrays or tensors; n ≥ 4.
        features_g: (n, d_g) features of another layer on the same tokens.

    Raises:
        UserError: different numbers of tokens, fewer than 4, or features that are not finite.
    """
    f, g = _features(features_f, "f"), _features(features_g, "g")
    if len(f) != len(g):
        raise UserError(
            f"f has {len(f)} tokens and g has {len(g)}: both layers must come from the same tokens in the same order."
        )
    check_token_count(len(f))
    n = len(f)
    a, b = (u_centred(x @ x.T) for x in (f, g))
    products = (a * b).sum(axis=1)
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    cosine = np.divide(products, lengths, out=np.full(n, np.nan), where=lengths > 0)
    return TokenAlignment(np.clip(cosine, -1.0, 1.0), products / (n * (n - 3)))


def _features(features: Any, name: str) -> np.ndarray:
    if hasattr(features, "detach"):
        features = features.detach().cpu().double().numpy()
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2:
        raise UserError(f"Features of {name} have shape {x.shape}; (n_tokens, d) is expected.")
    if not np.isfinite(x).all():
        raise UserError(f"Features of {name} hold NaN or infinite numbers; leave out the tokens that overflow.")
    return x - x.mean(axis=0)
