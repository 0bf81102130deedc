"""Mutual nearest neighbours: the share of each token's k nearest neighbours that two layers have in common.

The mean over tokens i of |N_k^X(i) ∩ N_k^Y(i)| / k, neighbours by cosine of the centred features, i itself left out
(Huh, Cheung, Wang and Isola 2024). From 0 to 1; 1 for equal input, k/(n − 1) on average for independent features.
Symmetric. A rotation, a scale or a shift of the features changes nothing.
Largest error against float64 (n = 1024, d = 512, float32): 1e-16; were rounding to exchange two neighbours, 1e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repdiss_core.measures.neighbours import (
    K,
    NeighbourLists,
    least_tokens,
    neighbour_flops,
    neighbour_lists,
    shared_places,
)
from repdiss_core.measures.shared import (
    DEFAULTS,
    BatchContext,
    LayerPreparations,
    as_preparations,
    finished,
    single_batch,
)

__all__ = ["chance", "cross", "flops", "least_tokens", "mutual_knn_matrix", "prepare"]
flops = neighbour_flops


def mutual_knn_matrix(
    features_f: Sequence[Any] | LayerPreparations,
    features_g: Sequence[Any] | LayerPreparations,
    k: int = K,
    neighbours: str = "all",
    sequence_ids: Any = None,
) -> np.ndarray:
    """(L_f, L_g) shares of common neighbours of every pair of layers on one batch; NaN for layers that do not vary.

    Args:
        features_f, features_g: (n, d) features of each layer, tensors or arrays; rows are the same tokens.
        k: neighbours of each token.
        neighbours: "all", or "other_sequences": tokens beside each other are neighbours without being alike.
        sequence_ids: (n,) which sequence each token belongs to, for "other_sequences".

    Raises:
        UserError: as `prepare` and `cross`.
    """
    context = BatchContext(sequence_ids, {"k": k, "neighbours": neighbours})
    return single_batch(prepare, cross, features_f, features_g, context)


def prepare(layers: Sequence[Any] | LayerPreparations, context: BatchContext = DEFAULTS) -> NeighbourLists:
    """Neighbour lists of each layer.

    Raises:
        UserError: fewer than k + 1 tokens (or k outside a token's own sequence), or features as in `LayerPreparations`.
    """
    return neighbour_lists(as_preparations(layers, context), context, "mutual k-NN")


def cross(f: NeighbourLists, g: NeighbourLists) -> np.ndarray:
    """(L_f, L_g) float64 shares of common neighbours.

    Raises:
        UserError: where token counts or settings differ.
    """
    values = np.empty((f.n_layers, g.n_layers))
    for layer, places in shared_places(f, g):
        values[layer] = (places > 0).sum(dim=(1, 2)).cpu().numpy() / (f.n_tokens * f.k)
    return finished(values, f, g)


def chance(n: int, k: int = K) -> float:
    """The value for independent features on average."""
    return k / (n - 1)
