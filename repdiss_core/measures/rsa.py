"""Representational similarity analysis: do two layers order the pairs of tokens alike?

RSA is the Spearman (or Pearson) correlation over all pairs of tokens i < j of the dissimilarities 1 − r_ij, r_ij
being Pearson's correlation of rows i and j over the features (Kriegeskorte, Mur and Bandettini 2008). Columns are
centred first, so that what all tokens share does not make every pair alike. Ties share their mean rank.

From −1 to 1; 1 for equal input and 0 on average for independent features. Symmetric. A scale or a shift of the
features changes nothing; a rotation does, because each row's mean over features is taken out.
Largest error against float64 (n = 1024, d = 512, float32): 5e-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.gram import cross_products, full_float32, same_products
from repdiss_core.measures.shared import (
    DEFAULTS,
    BatchContext,
    LayerPreparations,
    PreparedLayers,
    as_preparations,
    check_partners,
    check_tokens,
    finished,
    single_batch,
    symmetric_gram,
    unit_rows,
)

CORRELATIONS = ("spearman", "pearson")
MIN_TOKENS = 3
CELLS = 2**18
FINEST = 2.0**-22
LEAST_LEFT = 2.0**-6  # of a row's squared length; where its mean over features takes more, the rows are centred first


@dataclass(frozen=True, eq=False)
class PreparedRsa(PreparedLayers):
    """Ranks (or values) of the correlations of all pairs of tokens.

    Args:
        correlation: which of `CORRELATIONS`.
        pairs: (L, n(n−1)/2), each row with mean 0.
        lengths: (L,) float64, the lengths of the rows of `pairs`.
    """

    correlation: str
    pairs: Tensor
    lengths: np.ndarray


def rsa_matrix(
    features_f: Sequence[Any] | LayerPreparations,
    features_g: Sequence[Any] | LayerPreparations,
    correlation: str = "spearman",
) -> np.ndarray:
    """(L_f, L_g) RSA of every layer of f with every layer of g on one batch; NaN for layers that do not vary.

    Args:
        features_f, features_g: (n, d) features of each layer, tensors or arrays; rows are the same tokens.
        correlation: "spearman" or "pearson".

    Raises:
        UserError: as `prepare` and `cross`.
    """
    return single_batch(prepare, cross, features_f, features_g, BatchContext(settings={"correlation": correlation}))


def prepare(layers: Sequence[Any] | LayerPreparations, context: BatchContext = DEFAULTS) -> PreparedRsa:
    """Correlations between all rows of each layer, ranked.

    Raises:
        UserError: fewer than 3 tokens, an unknown correlation, or features as in `LayerPreparations`.
    """
    correlation = str(context.settings.get("correlation", "spearman"))
    if correlation not in CORRELATIONS:
        raise UserError(
            f"RSA correlates dissimilarities by {' or '.join(CORRELATIONS)}; {correlation!r} was asked for."
        )
    shared = as_preparations(layers, context)
    n = shared.n_tokens
    check_tokens(n, MIN_TOKENS, "RSA")
    pairs = torch.empty(len(shared.features), n * (n - 1) // 2, dtype=shared.dtype, device=shared.device)
    missing, notes = shared.without_value("RSA")
    for layer, row in enumerate(pairs):
        values = _correlations(shared, layer).reshape(-1).index_select(0, _upper(n, shared.device))
        row.copy_(
            _centred_ranks(values)
            if correlation == "spearman"
            else values - values.mean(dtype=torch.float64).to(values.dtype)
        )
    with full_float32(shared.device):
        lengths = np.sqrt(same_products(pairs, pairs, 0))
    flat = (lengths <= 1e-6 * pairs.shape[1] ** 0.5) & ~missing  # ranks are of the order of n², correlations of 1/√d
    more = tuple(
        f"layer {i + 1} has no RSA: all pairs of its tokens are equally far apart" for i in np.flatnonzero(flat)
    )
    return PreparedRsa(n, missing | flat, notes + more, correlation, pairs, np.where(missing | flat, 1.0, lengths))


def cross(f: PreparedRsa, g: PreparedRsa) -> np.ndarray:
    """(L_f, L_g) float64 RSA of every pair of layers.

    Raises:
        UserError: where token counts or correlations differ.
    """
    check_partners(f, g)
    if f.correlation != g.correlation:
        raise UserError(
            f"f was prepared for {f.correlation} correlation and g for {g.correlation}: prepare both alike."
        )
    with full_float32(f.pairs.device):
        values = cross_products(f.pairs, g.pairs, 0) / np.outer(f.lengths, g.lengths)
    return finished(values, f, g)


def least_tokens(d_f: int, d_g: int) -> int:
    """The smallest batch that RSA takes."""
    return MIN_TOKENS


def flops(n: int, d_f: int, d_g: int, layers_f: int = 1, layers_g: int = 1) -> float:
    """Operations a batch: Gram matrices and ranks for each layer, products for each pair; O(n² d)."""
    pairs = n * (n - 1) / 2
    ranking = 8 * pairs
    return layers_f * (n * n * d_f + ranking) + layers_g * (n * n * d_g + ranking) + 2 * pairs * layers_f * layers_g


def _correlations(shared: LayerPreparations, layer: int) -> Tensor:
    """(n, n) Pearson's correlation of every two rows of a layer, out of the cosines where no digits are lost.

    With u the rows of length 1 and a = u·(1, …, 1)/√d: r_ij = (u_i·u_j − a_i a_j) / √((1−a_i²)(1−a_j²)).
    """
    a = shared.row_means[layer]
    left = 1.0 - a**2
    if float(left.min()) < LEAST_LEFT:
        c = shared.centred[layer]
        out = torch.empty(len(c), len(c), dtype=c.dtype, device=c.device)
        rows = c - c.mean(dim=1, keepdim=True)
        noise = torch.linalg.vector_norm(rows, dim=1) <= 8 * torch.finfo(c.dtype).eps * torch.linalg.vector_norm(
            c, dim=1
        )
        with full_float32(c.device):
            symmetric_gram(unit_rows(torch.where(noise[:, None], torch.zeros_like(rows), rows)), out)
        return out
    scale = left.rsqrt()
    return torch.addr(shared.cosines[layer], a, a, alpha=-1.0).mul_(scale[:, None]).mul_(scale)


@lru_cache(maxsize=4)
def _upper(n: int, device: torch.device) -> Tensor:
    """(n(n−1)/2,) flat positions of the entries above the diagonal of an (n, n) matrix."""
    rows, columns = torch.triu_indices(n, n, offset=1, device=device)
    return rows * n + columns


def _centred_ranks(values: Tensor) -> Tensor:
    """(m,) the ranks of correlations (m,), ties at the mean of theirs, less their mean (m + 1)/2."""
    if values.dtype == torch.float64:
        ranks = _sorted_ranks(values.cpu().numpy())
    else:
        ranks = _counted_ranks(values.cpu().numpy())
    return torch.from_numpy(ranks).to(values.device)


def _sorted_ranks(values: np.ndarray) -> np.ndarray:
    """For few values, read to the nearest 2^−44."""
    steps = np.rint(values * 2.0**44)
    order = np.argsort(steps, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(steps[order]) != 0]))
    counts = np.diff(np.append(starts, len(steps)))
    ranks = np.empty(len(steps))
    ranks[order] = np.repeat(starts + (counts - 1) / 2, counts) - (len(steps) - 1) / 2
    return ranks


def _counted_ranks(values: np.ndarray) -> np.ndarray:
    """For many float32 values: counted in cells instead of sorted, in a third of the time.

    The cells are a `CELLS`-th of the range wide, but no finer than float32 tells correlations apart.
    """
    low, high = float(values.min()), float(values.max())
    per_cell = max((high - low) / CELLS, FINEST)
    cells = np.rint((values - np.float32(low)) * np.float32(1.0 / per_cell)).astype(np.int64)
    counts = np.bincount(cells)
    middles = np.cumsum(counts).astype(np.float32)
    middles -= counts.astype(np.float32) * np.float32(0.5) + np.float32(0.5 * len(values))
    return middles.take(cells)
