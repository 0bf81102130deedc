"""What a chance level says: in captions, on hover, in the panel of a cell, and in exported numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.analysis.chance import LEVEL, Chance
from repdiss_core.base.crossed import SETTING
from repdiss_core.base.errors import UserError

if TYPE_CHECKING:
    from repdiss_core.base.comparison import Comparison
    from repdiss_core.studies.panels import MatrixView

COLUMNS = {
    "mismatched": "without_shared_text",
    "level": "chance_level",
    "corrected": "chance_corrected",
    "p": "p",
    "q": "q",
    "p_max": "p_max",
}
NO_LEVEL = "has no chance level: it is computed for maps of features. Choose a measure such as cka."


@dataclass(frozen=True, eq=False)
class ChanceFacts:
    """The chance level of a map as a member of its table.

    Args:
        comparison: of the crossed values that it rests on.
    """

    chance: Chance
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """The member "chance": settings, tests of the whole map, and an array for each column of the CSV."""
        chance = self.chance
        settings: dict[str, Any] = {
            "window": self.comparison.setting(SETTING),
            "n_batches": chance.n_batches,
            "n_permutations": chance.n_permutations,
            "alpha": LEVEL,
            "p_mean": chance.p_mean,
            "p_highest": chance.p_highest,
            "p_best_f": _plain(chance.p_best_f),
            "p_best_g": _plain(chance.p_best_g),
        }
        arrays = {name: _plain(values) for name, values in self.columns().items()}
        return {"chance": {**settings, **arrays, "comparison": self.comparison.to_dict()}}

    def columns(self) -> dict[str, np.ndarray]:
        """By name in exports, a value for each cell."""
        return {column: getattr(self.chance, name) for name, column in COLUMNS.items()}

    def diagonal(self, depth: int, begin: int = 0) -> ChanceFacts:
        """That of `depth` layers from index `begin` on with the layers of their own number; tests of the whole map
        stay."""
        at = np.arange(depth) + begin
        cells = {f.name: getattr(self.chance, f.name) for f in fields(Chance)}
        cells = {name: a[at, at] for name, a in cells.items() if isinstance(a, np.ndarray) and a.ndim == 2}
        return replace(self, chance=replace(self.chance, **cells))

    def cell(self, row: int, column: int) -> str:
        """What the panel of a cell says."""
        value, mismatched, level, corrected, p, q = (
            float(getattr(self.chance, name)[row, column])
            for name in ("values", "mismatched", "level", "corrected", "p", "q")
        )
        if np.isnan(level):
            return ""
        n, matched = self.chance.n_batches, -(-self.chance.n_batches // int(self.comparison.setting(SETTING)))
        return (
            f"Of {_number(value)}, {_number(mismatched)} is reached without a shared text. "
            f"Chance level {_number(level, 3)}: 95 % quantile of {self.chance.n_permutations} permutations, "
            f"which leave {matched} of {n} batches matched on average. "
            f"Chance-corrected {_number(corrected, 3)}; {p_words(p)}, with false discovery rate {p_words(q, '')}."
        )


def hover_texts(chance: Chance) -> list[list[str]]:
    """(L_f, L_g) a line for each cell."""
    rows, columns = chance.level.shape
    return [
        [
            "no chance level"
            if np.isnan(chance.level[i, j])
            else f"without a shared text {_number(chance.mismatched[i, j], 3)}, "
            f"chance level {_number(chance.level[i, j], 3)}<br>"
            f"{p_words(chance.p[i, j])}, false discovery rate {p_words(chance.q[i, j], '')}"
            for j in range(columns)
        ]
        for i in range(rows)
    ]


def caption_words(views: Sequence[MatrixView]) -> str:
    """Windows, permutations and level, then what the tests of each map say; "" where no chance level is asked for."""
    asked = [view for view in views if view.panel.chance is not None]
    if not asked:
        return ""
    shown = [view for view in asked if view.chance is not None]
    if not shown:
        return "chance level not computed yet"
    comparison = asked[0].panel.chance
    assert comparison is not None
    first = shown[0].chance
    assert first is not None
    head = (
        f"chance level: 95 % quantile of {first.n_permutations} permutations within windows of "
        f"{comparison.setting(SETTING)} batches ({first.n_batches} batches), cells at a false discovery rate of 5 %"
    )
    return "; ".join([head, *(_of_map(view.panel.title, view.chance) for view in shown if view.chance is not None)])


def _of_map(title: str, chance: Chance) -> str:
    level = chance.level[np.isfinite(chance.level)]
    if not level.size:
        return f"{title}: no chance level"
    tested = np.isfinite(chance.q)
    above = int((chance.q[tested] <= LEVEL).sum())
    low, high = _number(float(level.min())), _number(float(level.max()))
    return (
        f"{title}: level {low if low == high else f'{low} to {high}'}, {above} of {int(tested.sum())} cells above, "
        f"mean {p_words(chance.p_mean)}, highest cell {p_words(chance.p_highest)}"
    )


def p_words(p: float, name: str = "p = ") -> str:
    """A p value to three digits."""
    return f"{name}{p:.3f}".replace("0.", ".", 1) if np.isfinite(p) else f"{name}none"


def check_has_level(short: str, of_features: bool) -> None:
    """Raise a `UserError` where a measure without maps of features is asked for its chance level."""
    if not of_features:
        raise UserError(f"{short} {NO_LEVEL}")


def _number(value: float, digits: int = 2) -> str:
    """As maps write it: no zero before the point, no sign where it rounds to zero."""
    text = f"{value:.{digits}f}"
    text = text.lstrip("-") if float(text) == 0 else text
    return text.replace("0.", ".", 1).replace("-", "\u2212") if abs(value) < 1 else text.replace("-", "\u2212")


def _plain(array: np.ndarray) -> Any:
    """Lists, with None for NaN."""
    plain = np.asarray(array, dtype=float).astype(object)
    plain[~np.isfinite(np.asarray(array, dtype=float))] = None
    return plain.tolist()
