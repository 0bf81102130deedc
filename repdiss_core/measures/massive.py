"""Massive tokens: rows of a feature matrix that are many times as long as the others, and CKA without them.

Unbiased CKA leaves out each row's product with itself, so that of two such rows their product with each other decides:
rows that two models share drive CKA to 1 whatever the rest does where they point one way in both, as massive
activations do (Sun et al. 2024), and to -1 where they point one way in one model and opposite ways in the other; rows
of one model alone drive it to 0.

So every map is offered in three ways: with all rows ("kept", the paper's), without the rows that are massive in any
layer of either model ("dropped"), and with every row scaled to length 1 ("normalised").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.errors import UserError
from repdiss_core.measures.hsic import u_centred

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLE = 5.0  # times the median length of the layer's rows
DECIDES = 0.5  # massive rows decide a layer that owes more than this share of its self term to them
CHOICES = ("kept", "dropped", "normalised")
NAMED_TOKENS = 8  # massive tokens of a batch whose identity is kept


@dataclass(frozen=True, eq=False)
class MassiveRows:
    """Which rows of one model's features are massive in some layer.

    Args:
        is_massive: (n,) bool.
        peak: (n_layers,) longest row over the median row.
        strongest: (n,) for each row, its greatest length over the median, of all layers.
        in_layer: (n_layers, n) bool, which rows are massive in which layer.
    """

    is_massive: np.ndarray
    peak: np.ndarray
    strongest: np.ndarray
    in_layer: np.ndarray

    def tokens(self, ids: np.ndarray) -> np.ndarray:
        """(NAMED_TOKENS,) token ids of the most massive rows, the strongest first; -1 where there are fewer.

        Args:
            ids: (n,) token of each row, or another number of it that is not negative.
        """
        rows = np.flatnonzero(self.is_massive)
        rows = rows[np.argsort(-self.strongest[rows], kind="stable")][:NAMED_TOKENS]
        return np.concatenate([ids[rows], np.full(NAMED_TOKENS - len(rows), -1)]).astype(np.int64)


def find_massive(layers: Sequence[Tensor], multiple: float = MULTIPLE) -> MassiveRows:
    """The rows whose length exceeds `multiple` times the median length of their layer.

    Args:
        layers: (n, d) features of each layer.

    Raises:
        UserError: a multiple of 1 or less.
    """
    import torch

    if multiple <= 1:
        raise UserError(f"A row counts as massive from a multiple of the median above 1; {multiple:g} was given.")
    ratios = []
    for x in layers:
        norms = torch.linalg.vector_norm(x.float(), dim=1)
        ratios.append((norms / norms.median().clamp_min(torch.finfo(torch.float32).tiny)).cpu().numpy())
    ratio = np.stack(ratios)
    massive = ratio > multiple
    return MassiveRows(np.any(massive, axis=0), ratio.max(axis=1).astype(np.float64), ratio.max(axis=0), massive)


def share_of_hsic(x: Tensor, rows: np.ndarray, self_hsic: float | None = None) -> float:
    """The share of a layer's unbiased HSIC with itself that pairs of tokens with a massive one carry.

    With Ã the U-centred Gram matrix of the layer (`hsic.u_centred`), Σ Ã_ij² over the pairs i ≠ j of which at least one
    is in `rows`, over Σ Ã_ij² of all pairs i ≠ j; the latter is n(n − 3) times the unbiased HSIC.

    Args:
        x: (n, d) features, n ≥ 4.
        rows: (n,) bool.
        self_hsic: the layer's unbiased HSIC with itself where it is known; it is else computed, in 2 n² d operations.

    Returns:
        Between 0 and 1; 0 where no row is massive, or where the layer does not vary.
    """
    n = len(x)
    if not rows.any():
        return 0.0
    c = x.detach().cpu().double().numpy()
    c = c - c[~rows].mean(axis=0) if not rows.all() else c
    sums = c @ c.sum(axis=0) - (c**2).sum(axis=1)
    if self_hsic is None:
        self_hsic = float((u_centred(c @ c.T) ** 2).sum() / (n * (n - 3)))
    entries = c[rows] @ c.T - (sums[rows][:, None] + sums[None, :]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    entries[np.arange(len(entries)), np.flatnonzero(rows)] = 0.0
    squares = entries**2
    pairs = 2.0 * squares[:, ~rows].sum() + squares[:, rows].sum()
    total = n * (n - 3) * self_hsic
    return float(np.clip(pairs / total, 0.0, 1.0)) if total > 0 else 0.0


def share_of_squares(x: Tensor, rows: np.ndarray) -> float:
    """The share of the sum of squares of a layer's centred features (n, d) that the massive `rows` (n,) carry."""
    if not rows.any():
        return 0.0
    c = x.detach().cpu().double().numpy()
    squares = ((c - c.mean(axis=0)) ** 2).sum(axis=1)
    return float(squares[rows].sum() / squares.sum()) if squares.any() else 0.0


def shares(layers: Sequence[Tensor], massive: MassiveRows, term: str, side: Any = None) -> np.ndarray:
    """(n_layers,) which share of each layer's self term the rows carry that are massive in it.

    Args:
        layers: (n, d) features of each layer.
        term: "hsic" or "squares", as a measure declares it (`MeasureSpec.self_term`).
        side: the model prepared for CKA, whose unbiased HSIC is taken from there.
    """
    if term == "squares":
        return np.array([share_of_squares(x, rows) for x, rows in zip(layers, massive.in_layer, strict=True)])
    known = side.self_hsic if getattr(side, "estimator", "") == "unbiased" else [None] * len(layers)
    return np.array([share_of_hsic(x, *rest) for x, *rest in zip(layers, massive.in_layer, known, strict=True)])


def normalised(x: Tensor) -> Tensor:
    """(n, d) the rows scaled to length 1; a row of zeros stays."""
    import torch

    return torch.nn.functional.normalize(x.float(), dim=1)


def check_choice(choice: str, flatten: str) -> None:
    """Raise a `UserError` for an unknown way of treating massive tokens, or one that the rows do not allow."""
    if choice not in CHOICES:
        raise UserError(f"Massive tokens can be {', '.join(CHOICES)}; {choice!r} was asked for.")
    if choice == "dropped" and flatten != "token":
        raise UserError(
            "Massive tokens can be dropped only where rows are tokens; here each row is a sequence. "
            "Choose rows of tokens, or keep them."
        )
