"""The nearest neighbours of every token, and which of them two models share: the ground of the local measures.

Nearness is the cosine of the centred rows; a token is no neighbour of its own. Of equally near tokens, those that come
first in the batch are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.shared import BatchContext, LayerPreparations, PreparedLayers, check_partners

K = 10
NEIGHBOURS = ("all", "other_sequences")


@dataclass(frozen=True, eq=False)
class NeighbourLists(PreparedLayers):
    """The k nearest neighbours of every token in every layer of one model.

    Args:
        k: neighbours of each token.
        others: whether neighbours were sought in other sequences alone.
        index: (L, n, k) int64 neighbours of each token.
        cosines: (L, n, k) float64, how near they are.
        place: (L, n, n) at [i, j] 1 + the place of j among the neighbours of i, 0 where it is none of them.
        returned: (L, n, k) bool, whether the token is a neighbour of its neighbour too.
    """

    k: int
    others: bool
    index: Tensor
    cosines: Tensor
    place: Tensor
    returned: Tensor


def neighbour_lists(shared: LayerPreparations, context: BatchContext, measure: str) -> NeighbourLists:
    """The lists that the settings "k" and "neighbours" ask for, made once for all measures that read them.

    Raises:
        UserError: an unknown setting, k < 1, fewer than k tokens to choose from, or sequences unknown where they count.
    """
    k, others = _settings(context)
    missing, notes = shared.without_value(measure)
    if (k, others) not in shared.lists:
        _check_k(shared, k, others)
        shared.lists[k, others] = _lists(shared, k, others)
    index, cosines, place, returned = shared.lists[k, others]
    return NeighbourLists(shared.n_tokens, missing, notes, k, others, index, cosines, place, returned)


def shared_places(f: NeighbourLists, g: NeighbourLists) -> Iterator[tuple[int, Tensor]]:
    """(layer of f, (L_g, n, k) int64): 1 + the place in each of g's lists of each neighbour in f's, or 0.

    Raises:
        UserError: where token counts or settings differ.
    """
    check_partners(f, g)
    if (f.k, f.others) != (g.k, g.others):
        raise UserError(f"f was prepared with {_wording(f)} and g with {_wording(g)}: prepare both alike.")
    n = f.n_tokens
    flat = g.place.reshape(g.n_layers, n * n)
    rows = torch.arange(n, device=f.index.device)[:, None] * n
    for layer, index in enumerate(f.index):
        yield layer, flat[:, (rows + index).reshape(-1)].reshape(-1, n, f.k).long()


def neighbour_flops(n: int, d_f: int, d_g: int, layers_f: int = 1, layers_g: int = 1, k: int = K) -> float:
    """Operations a batch: Gram matrices and a partial sort for each layer, n·k comparisons for each pair."""
    return layers_f * n * n * (d_f + 2.0) + layers_g * n * n * (d_g + 2.0) + n * k * layers_f * layers_g


def least_tokens(d_f: int, d_g: int, k: int = K) -> int:
    """The smallest batch in which every token has k neighbours (where they may come from its own sequence)."""
    return k + 1


def _settings(context: BatchContext) -> tuple[int, bool]:
    k, neighbours = context.settings.get("k", K), str(context.settings.get("neighbours", "all"))
    if int(k) != k or k < 1:
        raise UserError(f"The number of neighbours k is a whole number of at least 1; {k} was given.")
    if neighbours not in NEIGHBOURS:
        raise UserError(f"Neighbours are sought among {' or '.join(NEIGHBOURS)}; {neighbours!r} was asked for.")
    return int(k), neighbours == "other_sequences"


def _check_k(shared: LayerPreparations, k: int, others: bool) -> None:
    n = shared.n_tokens
    if not others:
        if k >= n:
            raise UserError(
                f"{k} neighbours need batches of at least {k + 1} tokens, and this batch holds {n}: "
                f"use larger batches, or {'k of at most ' + str(n - 1) if n > 1 else 'another measure'}."
            )
        return
    if shared.sequence_ids is None:
        raise UserError(
            f"Neighbours from other sequences need to know which sequence each token belongs to: "
            f"give sequence_ids for the {n} tokens."
        )
    longest = int(np.bincount(shared.sequence_ids).max())
    if n - longest < k:
        raise UserError(
            f"{k} neighbours from other sequences need batches of at least {longest + k} tokens where one sequence "
            f"holds {longest}, "
            f'and this batch holds {n}: put more sequences into a batch, or seek neighbours among "all".'
        )


def _lists(shared: LayerPreparations, k: int, others: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, n_layers, device = shared.n_tokens, len(shared.features), shared.device
    barred = torch.eye(n, dtype=torch.bool, device=device)
    if others:
        ids = torch.as_tensor(shared.sequence_ids, device=device)
        barred = ids[:, None] == ids[None, :]
    index = torch.empty(n_layers, n, k, dtype=torch.int64, device=device)
    cosines = torch.empty(n_layers, n, k, dtype=shared.dtype, device=device)
    place = torch.zeros(n_layers, n, n, dtype=torch.uint8 if k < 255 else torch.int32, device=device)
    numbers = torch.arange(1, k + 1, device=device).to(place.dtype).expand(n, k)
    for layer, matrix in enumerate(shared.cosines):
        index[layer] = _nearest(matrix.masked_fill(barred, -torch.inf), k)
        cosines[layer] = matrix.gather(1, index[layer])
        place[layer].scatter_(1, index[layer], numbers)
    rows = torch.arange(n, device=device)[:, None].expand(n, k)
    returned = torch.stack([places[neighbours, rows] > 0 for places, neighbours in zip(place, index, strict=True)])
    return index, cosines, place, returned


def _nearest(matrix: Tensor, k: int) -> Tensor:
    """(n, k) the columns of the k largest entries of each row, the first ones where several are equal."""
    n = matrix.shape[1]
    values, index = torch.topk(matrix, min(k + 1, n), dim=1)
    if k < n:
        tied = torch.nonzero(values[:, k - 1] == values[:, k]).flatten()
        if len(tied):  # topk takes any of several equal ones
            index[tied, :k] = torch.sort(matrix[tied], dim=1, descending=True, stable=True).indices[:, :k]
    return index[:, :k]


def _wording(lists: NeighbourLists) -> str:
    return f"{lists.k} neighbours from {'other sequences' if lists.others else 'all tokens'}"
