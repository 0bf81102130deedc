"""The chance level's part of a pass over batches: prepared sides that wait for the other batches of their window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.crossed import SETTING
from repdiss_core.base.errors import UserError

Sides = tuple[Any, Any]


def window_of(comparison: Comparison) -> int:
    """Batches of a window of crossed values; 0 for a comparison of batches with themselves alone."""
    return int(comparison.setting(SETTING, 0))


def first_needed(comparison: Comparison, count: int, n_batches: int) -> int:
    """The batch to read next where `count` are stored: the first of the window where one was begun.

    What was prepared is not stored, so that a window that goes on is read again from its beginning.
    """
    window = window_of(comparison)
    return count if count >= n_batches or not window else count - count % window


class CrossedWindow:
    """The batches read so far of one comparison's present window.

    Args:
        size: w, batches of a window.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._sides: list[Sides] = []

    def take(self, index: int, sides: Sides) -> None:
        """The batch `index`, as both models were prepared on it.

        Raises:
            UserError: other numbers of rows than in the batches before.
        """
        if index % self.size == 0:
            self._sides = []
        first = self._sides[0][0].n_tokens if self._sides else sides[0].n_tokens
        if sides[0].n_tokens != first:
            raise UserError(
                f"Batch {index + 1} has {sides[0].n_tokens} rows and batch {index + 1 - len(self._sides)} has {first}: "
                "the chance level pairs the rows of different batches by position. "
                "Choose data whose batches are all of one size."
            )
        self._sides.append(sides)

    def crossed(self, cross: Callable[[Any, Any], np.ndarray]) -> np.ndarray:
        """(2, w, L_f, L_g): f on the last batch with g on each of the window, and the other way round."""
        f, g = self._sides[-1]
        made = np.full((2, self.size, f.n_layers, g.n_layers), np.nan)
        for place, (other_f, other_g) in enumerate(self._sides):
            made[0, place] = cross(f, other_g)
            made[1, place] = made[0, place] if other_f is f else cross(other_f, g)
        return made
