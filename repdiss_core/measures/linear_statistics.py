"""Sufficient statistics of linear maps between the layers of two models: means, squares and products over batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repdiss_core.base.errors import UserError
from repdiss_core.measures.centring import MASSIVE
from repdiss_core.measures.gram import full_float32
from repdiss_core.measures.shared import (
    DEFAULTS,
    BatchContext,
    LayerPreparations,
    PreparedLayers,
    as_preparations,
    check_partners,
    symmetric_gram,
)

PAIRS = ("all", "same_layer")


@dataclass(frozen=True, eq=False)
class PreparedBatch(PreparedLayers):
    """One model's layers on one batch about their means; `missing` are layers that do not vary on this batch.

    Args:
        centred: [(n, d)] features without their mean, divided by 2 to the power of `exponents` (L,).
        means: [(d,)] float64 means, not divided.
    """

    centred: list[Tensor]
    exponents: np.ndarray
    means: list[Tensor]

    @cached_property
    def massive(self) -> list[Tensor]:
        """[(m,)] rows many times as long as the median row: their squares would drown the digits of the others."""
        rows = []
        for c in self.centred:
            norms = torch.linalg.vector_norm(c, dim=1)
            rows.append(torch.nonzero(norms > MASSIVE * norms.median()).flatten())
        return rows

    @cached_property
    def typical(self) -> list[Tensor]:
        """[(n, d)] the centred features with massive rows set to 0."""
        return [
            c.index_fill(0, rows, 0.0) if len(rows) else c for c, rows in zip(self.centred, self.massive, strict=True)
        ]

    @cached_property
    def squares(self) -> list[Tensor]:
        """[(d, d)] float64 Σ x xᵀ about the mean; made once a batch, whatever the number of pairs."""
        return [self._square(layer) for layer in range(self.n_layers)]

    def _square(self, layer: int) -> Tensor:
        columns = self.typical[layer].T
        out = torch.empty(len(columns), len(columns), dtype=columns.dtype, device=columns.device)
        with full_float32(columns.device):
            symmetric_gram(columns, out)
        c = self.centred[layer]
        return with_massive(out, c, c, self.massive[layer], 2 * self.exponents[layer])

    @cached_property
    def totals(self) -> np.ndarray:
        """(L,) float64 Σ |x|² about the mean."""
        return np.ldexp([float((c.double() ** 2).sum()) for c in self.centred], 2 * self.exponents)

    @property
    def widths(self) -> tuple[int, ...]:
        """d of each layer."""
        return tuple(c.shape[1] for c in self.centred)


@dataclass(eq=False)
class Moments:
    """Means and sums of squares about them of one model over the fitting batches."""

    n_tokens: int
    means: list[Tensor]
    squares: list[Tensor]


@dataclass(eq=False)
class Statistics:
    """Sufficient statistics of one pair of models over the fitting batches.

    Args:
        f, g: moments of each model.
        products: {(layer of f, layer of g): (d_f, d_g) float64 Σ x yᵀ about the means}.
        pairs: "all", or "same_layer": layer l of f with layer l of g alone.
    """

    f: Moments
    g: Moments
    products: dict[tuple[int, int], Tensor]
    pairs: str


def prepare(layers: Sequence[Any] | LayerPreparations, context: BatchContext = DEFAULTS) -> PreparedBatch:
    """Each layer about its mean.

    Raises:
        UserError: features as in `LayerPreparations`.
    """
    shared = as_preparations(layers, context)
    missing, notes = shared.without_value("linear predictivity")
    means = [
        x.double().mean(dim=0) if x.device.type != "mps" else x.cpu().double().mean(dim=0)  # MPS has no float64
        for x in shared.features
    ]
    return PreparedBatch(shared.n_tokens, missing, notes, shared.centred, shared.exponents, means)


def accumulate(statistics: Statistics | None, f: PreparedBatch, g: PreparedBatch, pairs: str = "all") -> Statistics:
    """Takes in a fitting batch; the statistics given are changed and handed back, or begun where there are none.

    About the joint mean, sums of squares of two parts add up to S_a + S_b + n_a n_b/(n_a + n_b) · δδᵀ with δ the
    difference of their means (Chan, Golub and LeVeque 1983): a large mean costs no digits.

    Raises:
        UserError: where token counts or widths differ, or "same_layer" is asked of models of different depth.
    """
    check_partners(f, g)
    wanted = list(_pairs(f, g, pairs))
    products = {pair: cross_product(f, g, *pair) for pair in wanted}
    if statistics is None:
        return Statistics(_moments(f), _moments(g), products, pairs)
    _check_widths(statistics, f, g)
    before, weight = statistics.f.n_tokens, statistics.f.n_tokens * f.n_tokens / (statistics.f.n_tokens + f.n_tokens)
    steps = [
        [m - old for m, old in zip(side.means, old_side.means, strict=True)]
        for side, old_side in ((f, statistics.f), (g, statistics.g))
    ]
    for pair in wanted:
        statistics.products[pair] += products[pair]
        statistics.products[pair].addr_(steps[0][pair[0]], steps[1][pair[1]], alpha=weight)
    for moments, batch, step in ((statistics.f, f, steps[0]), (statistics.g, g, steps[1])):
        for layer, delta in enumerate(step):
            moments.squares[layer] += batch.squares[layer]
            moments.squares[layer].addr_(delta, delta, alpha=weight)
            moments.means[layer] += delta * (batch.n_tokens / (before + batch.n_tokens))
        moments.n_tokens += batch.n_tokens
    return statistics


def cross_product(f: PreparedBatch, g: PreparedBatch, row: int, column: int) -> Tensor:
    """(d_f, d_g) float64 Σ x yᵀ about the means of this batch, the rows that are massive on either side in float64."""
    with full_float32(f.centred[row].device):
        product = f.typical[row].T @ g.typical[column]
    rows = torch.cat([f.massive[row], g.massive[column]]).unique()
    return with_massive(product, f.centred[row], g.centred[column], rows, f.exponents[row] + g.exponents[column])


def with_massive(product: Tensor, x: Tensor, y: Tensor, rows: Tensor, exponent: int) -> Tensor:
    """The float64 product with that of the massive rows, in the units of the features."""
    total = product.double()
    if len(rows):
        total += x[rows].double().T @ y[rows].double()
    return total if exponent == 0 else total * 2.0 ** int(exponent)


def _pairs(f: PreparedBatch, g: PreparedBatch, pairs: str) -> Iterator[tuple[int, int]]:
    if pairs not in PAIRS:
        raise UserError(f"Linear predictivity is computed for the pairs {' or '.join(PAIRS)}; {pairs!r} was asked for.")
    if pairs == "same_layer" and f.n_layers != g.n_layers:
        raise UserError(
            f"Layers are paired one to one, but the models have {f.n_layers} and {g.n_layers}: "
            "compare models of one depth."
        )
    for row in range(f.n_layers):
        for column in [row] if pairs == "same_layer" else range(g.n_layers):
            yield row, column


def _moments(batch: PreparedBatch) -> Moments:
    return Moments(batch.n_tokens, [m.clone() for m in batch.means], [s.clone() for s in batch.squares])


def _check_widths(statistics: Statistics, f: PreparedBatch, g: PreparedBatch) -> None:
    for name, moments, batch in (("f", statistics.f, f), ("g", statistics.g, g)):
        before = tuple(len(m) for m in moments.means)
        if before != batch.widths:
            raise UserError(
                f"Layers of {name} have {batch.widths} features in this batch and had {before}: "
                "every batch must hold the same layers."
            )
