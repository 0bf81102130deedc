"""CKNNA: centred kernel alignment that looks at common nearest neighbours alone.

With K, L the cosine Gram matrices of the centred features, α_ij = 1 where j is among the k nearest neighbours of i in
both layers, A = α∘K and B = α∘L (both with zero diagonal), Huh, Cheung, Wang and Isola (2024) take

    h(K, L) = [Σ_ij A_ij B_ji + ΣA ΣB / ((n−1)(n−2)) − 2/(n−2) · 1ᵀAB1] / (n(n−3)),

HSIC₁ of the masked matrices, and CKNNA = h(K, L) / √(h(K, K) h(L, L)), each self term with its own mask. α is not
symmetric, so that 1ᵀAB1 ≠ 1ᵀBA1 and the published value depends on the order of the layers. Here the two orders are
averaged, which makes it symmetric: the mean of the published value and that of the layers exchanged. No ε is added
to the denominator.

At most 1 in practice and 1 for equal input; near k/(n − 1) for independent features (.072 at n = 128, k = 10), so that
it needs its chance level as much as mutual k-NN does. A rotation, a scale or a shift changes nothing.
Largest error against float64 (n = 1024, d = 512, float32): 3e-9; were rounding to exchange two
neighbours, about 1e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.measures.hsic import MIN_TOKENS
from repdiss_core.measures.neighbours import K, NeighbourLists, neighbour_flops, neighbour_lists, shared_places
from repdiss_core.measures.shared import (
    DEFAULTS,
    BatchContext,
    LayerPreparations,
    PreparedLayers,
    as_preparations,
    check_tokens,
    finished,
    single_batch,
)


@dataclass(frozen=True, eq=False)
class PreparedCknna(PreparedLayers):
    """Neighbour lists, and each layer's self term h(K, K), (L,) float64; 1 for a layer without a value."""

    lists: NeighbourLists
    self_terms: np.ndarray


def cknna_matrix(
    features_f: Sequence[Any] | LayerPreparations,
    features_g: Sequence[Any] | LayerPreparations,
    k: int = K,
    neighbours: str = "all",
    sequence_ids: Any = None,
) -> np.ndarray:
    """(L_f, L_g) CKNNA of every pair of layers on one batch; arguments and errors as in `mutual_knn_matrix`."""
    context = BatchContext(sequence_ids, {"k": k, "neighbours": neighbours})
    return single_batch(prepare, cross, features_f, features_g, context)


def prepare(layers: Sequence[Any] | LayerPreparations, context: BatchContext = DEFAULTS) -> PreparedCknna:
    """Neighbour lists and self terms of each layer.

    Raises:
        UserError: fewer than 4 tokens, too few for k neighbours, or features as in `LayerPreparations`.
    """
    shared = as_preparations(layers, context)
    check_tokens(shared.n_tokens, MIN_TOKENS, "CKNNA")
    lists = neighbour_lists(shared, context, "CKNNA")
    everywhere = torch.ones(1, *lists.index.shape[1:], dtype=torch.bool, device=lists.index.device)
    terms = np.zeros(lists.n_layers)
    for layer in range(lists.n_layers):
        values = lists.cosines[layer].double()[None]
        terms[layer] = _hsic(lists, layer, values, values, everywhere & lists.returned[layer]).item()
    empty = ~(terms > 0) & ~lists.missing
    more = tuple(
        f"layer {i + 1} has no CKNNA: its alignment with itself is not positive" for i in np.flatnonzero(empty)
    )
    missing = lists.missing | empty
    return PreparedCknna(lists.n_tokens, missing, lists.notes + more, lists, np.where(missing, 1.0, terms))


def cross(f: PreparedCknna, g: PreparedCknna) -> np.ndarray:
    """(L_f, L_g) float64 CKNNA of every pair of layers.

    Raises:
        UserError: where token counts or settings differ.
    """
    values = np.empty((f.n_layers, g.n_layers))
    cosines_g, returned_g = g.lists.cosines.double(), g.lists.returned
    for layer, places in shared_places(f.lists, g.lists):
        common, place = places > 0, (places - 1).clamp_(min=0)
        a = f.lists.cosines[layer].double() * common
        b = cosines_g.gather(2, place) * common
        both_ways = common & f.lists.returned[layer] & returned_g.gather(2, place)
        values[layer] = _hsic(f.lists, layer, a, b, both_ways).cpu().numpy()
    return finished(values / np.sqrt(np.outer(f.self_terms, g.self_terms)), f, g)


def least_tokens(d_f: int, d_g: int, k: int = K) -> int:
    """The smallest batch that CKNNA takes (where neighbours may come from a token's own sequence)."""
    return max(MIN_TOKENS, k + 1)


def flops(n: int, d_f: int, d_g: int, layers_f: int = 1, layers_g: int = 1, k: int = K) -> float:
    """Operations a batch: as mutual k-NN, and 12 · n · k for each pair."""
    return neighbour_flops(n, d_f, d_g, layers_f, layers_g, k) + 12.0 * n * k * layers_f * layers_g


def _hsic(lists: NeighbourLists, layer: int, a: Tensor, b: Tensor, both_ways: Tensor) -> Tensor:
    """(L_g,) the masked HSIC₁, both orders averaged, from entries at the neighbours of one layer of f.

    Args:
        lists: of f; entry [i, m] of the others belongs to the pair (i, index[i, m]).
        a, b: (L_g, n, k) float64 entries of A and B, 0 where α is.
        both_ways: (L_g, n, k) whether α_ij α_ji = 1.
    """
    n = lists.n_tokens
    columns = lists.index[layer].reshape(1, -1).expand(len(a), -1)

    def column_sums(x: Tensor) -> Tensor:
        return torch.zeros(len(a), n, dtype=x.dtype, device=x.device).scatter_add_(1, columns, x.reshape(len(x), -1))

    trace = (a * b * both_ways).sum(dim=(1, 2))  # B_ji = L_ji = L_ij where α_ij α_ji = 1
    chains = (column_sums(a) * b.sum(dim=2) + column_sums(b) * a.sum(dim=2)).sum(dim=1)
    return (trace + a.sum(dim=(1, 2)) * b.sum(dim=(1, 2)) / ((n - 1) * (n - 2)) - chains / (n - 2)) / (n * (n - 3))
