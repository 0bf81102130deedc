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
from typing import TYPE_CHECKING

import numpy as np

from repdiss_core.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLE = 5.0  # times the median length of the layer's rows
CHOICES = ("kept", "dropped", "normalised")
NAMED_TOKENS = 8  # massive tokens of a batch whose identity is kept


@dataclass(frozen=True, eq=False)
class MassiveRows:
    """Which rows of one model's features are massive in some layer.

    Args:
        is_massive: (n,) bool.
        peak: (n_layers,) longest row over the median row.
        strongest: (n,) for each row, its greatest length over the median, of all layers.
    """

    is_massive: np.ndarray
    peak: np.ndarray
    strongest: np.ndarray

    def tokens(self, ids: np.ndarray) -> np.ndarray:
        """(NAMED_TOKENS,) token ids of the most massive rows, the strongest first; -1 where there are fewer.

        Args:
            ids: (n,) token of each row.
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
    return MassiveRows(np.any(ratio > multiple, axis=0), ratio.max(axis=1).astype(np.float64), ratio.max(axis=0))


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
