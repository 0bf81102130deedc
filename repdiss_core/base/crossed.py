"""What the chance level rests on, row by row: f on each batch crossed with g on the batches of its window.

Windows are runs of w batches from the beginning of the stream; the last one may be shorter. The row of batch b holds
what is known once b has been read, so that rows are only ever added, and the first n of them are those of n batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from repdiss_core.base.batches import BatchRows
from repdiss_core.base.errors import UserError

WINDOW = 8  # batches
LARGEST_WINDOW = 64
SETTING = "chance_window"  # of a comparison whose results are crossed


class CrossedRows(BatchRows):
    """Crossed values of every batch.

    Attributes:
        f_here: (B, w, L_f, L_g) of f on the row's batch with g on batch j of its window; NaN for batches after it.
        g_here: (B, w, L_f, L_g) of f on batch j of the window with g on the row's batch.
        n_tokens: (B,) rows that entered each batch.
    """

    f_here: np.ndarray
    g_here: np.ndarray

    @property
    def layers(self) -> tuple[int, int]:
        """(L_f, L_g)."""
        return self.f_here.shape[2:]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """(first batch, batch after the last) of each window."""
        w = self.f_here.shape[1]
        return [(first, min(self.n_batches, first + w)) for first in range(0, self.n_batches, w)]

    def windows(self) -> list[np.ndarray]:
        """(k, k, L_f, L_g) of each window: entry [a, b] has f on its batch a and g on its batch b."""
        found = []
        for first, last in self.bounds:
            k = last - first
            window = np.empty((k, k, *self.layers))
            for a in range(k):
                window[a, : a + 1] = self.f_here[first + a, : a + 1]
                window[:a, a] = self.g_here[first + a, :a]
            found.append(window)
        return found

    def _check(self) -> None:
        shape = self.f_here.shape
        if len(shape) != 4 or self.g_here.shape != shape or self.n_tokens.shape != shape[:1]:
            raise UserError(
                f"{type(self).__name__} shapes disagree: f_here {shape}, g_here {self.g_here.shape}, n_tokens "
                f"{self.n_tokens.shape}; expected (B, w, L_f, L_g) twice, and (B,)."
            )


def _sides(f_here: np.ndarray, g_here: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, seen from g."""
    return g_here.swapaxes(2, 3), f_here.swapaxes(2, 3)


@dataclass(frozen=True, eq=False)
class CrossedValues(CrossedRows):
    """Crossed values of a measure whose value of a batch is a number a cell."""

    f_here: np.ndarray
    g_here: np.ndarray
    n_tokens: np.ndarray
    notes: tuple[str, ...] = ()

    ARRAYS: ClassVar[tuple[str, ...]] = ("f_here", "g_here", "n_tokens")

    def __post_init__(self) -> None:
        self._check()

    @classmethod
    def of_batch(
        cls, values: np.ndarray, f: Any, g: Any, notes: tuple[str, ...], massive: Mapping[str, np.ndarray] = {}
    ) -> Self:
        """One batch, from (2, w, L_f, L_g): f_here and g_here."""
        return cls(values[0][None], values[1][None], np.array([f.n_tokens]), notes)

    def transposed(self) -> Self:
        """The same comparison seen from g."""
        return type(self)(*_sides(self.f_here, self.g_here), self.n_tokens, self.notes)


@dataclass(frozen=True, eq=False)
class CrossedHsic(CrossedRows):
    """Crossed HSIC values; self_f (B, L_f) and self_g (B, L_g) are those of each layer with itself."""

    f_here: np.ndarray
    g_here: np.ndarray
    self_f: np.ndarray
    self_g: np.ndarray
    n_tokens: np.ndarray
    notes: tuple[str, ...] = ()

    ARRAYS: ClassVar[tuple[str, ...]] = ("f_here", "g_here", "self_f", "self_g", "n_tokens")

    def __post_init__(self) -> None:
        self._check()
        n, (layers_f, layers_g) = self.n_batches, self.layers
        if self.self_f.shape != (n, layers_f) or self.self_g.shape != (n, layers_g):
            raise UserError(
                f"CrossedHsic shapes disagree: {n} batches of {layers_f} × {layers_g} layers, self_f "
                f"{self.self_f.shape}, self_g {self.self_g.shape}; expected (B, L_f) and (B, L_g)."
            )

    @classmethod
    def of_batch(
        cls, values: np.ndarray, f: Any, g: Any, notes: tuple[str, ...], massive: Mapping[str, np.ndarray] = {}
    ) -> Self:
        """One batch, from (2, w, L_f, L_g) and both prepared sides."""
        self_f, self_g = (np.asarray(side.self_hsic, dtype=np.float64)[None] for side in (f, g))
        return cls(values[0][None], values[1][None], self_f, self_g, np.array([f.n_tokens]), notes)

    def transposed(self) -> Self:
        """The same comparison seen from g."""
        return type(self)(*_sides(self.f_here, self.g_here), self.self_g, self.self_f, self.n_tokens, self.notes)
