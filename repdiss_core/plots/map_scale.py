"""How the values of maps become colours and numbers: scales, their ends, and the colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repdiss_core.base.results import LayerMatrix
from repdiss_core.plots import theme
from repdiss_core.plots.theme import Look


@dataclass(frozen=True)
class Scale:
    """How values become colours: the same for every map of a row.

    Args:
        title: what is measured.
        lower, upper: ends of the scale; None takes the smallest and largest value of the row.
        grey_below: values under it are drawn in one distinct grey, with their number; None for no such limit.
        digits: decimals in cells.
        unit: what the values average over, in the singular.
        diverging: whether the scale is centred on 0, light in its middle and dark at both ends.
    """

    title: str
    lower: float | None
    upper: float | None
    grey_below: float | None
    digits: int
    unit: str = "batch"
    colors: str | list[list[Any]] = "Viridis"
    diverging: bool = False


@dataclass(frozen=True)
class MapStyle:
    """What a reader may choose of how maps are drawn.

    Args:
        data_range: the colours run from the least to the greatest value of the row, instead of over the whole scale.
        numbers: whether values stand in the cells, where they fit.
    """

    data_range: bool = False
    numbers: bool = True


USUAL_STYLE = MapStyle()
CKA_SCALE = Scale("CKA", 0.0, 1.0, 0.0, 2)
LOSS_SCALE = Scale("loss", None, None, None, 3, unit="sequence")
PENALTY_SCALE = Scale("penalty", None, None, None, 3, unit="sequence")
DIVERGING = [
    [0, "#542788"],
    [0.25, "#998EC3"],
    [0.5, "#F7F7F7"],
    [0.75, "#F1A340"],
    [1, "#B35806"],
]  # purple to orange: colour-blind safe
DIFFERENCE_SCALE = Scale("B − A", None, None, None, 3, colors=DIVERGING, diverging=True)
LEAST_REACH = 0.01  # of a diverging scale, so that differences of nothing stay pale


def limits_of(matrices: Sequence[LayerMatrix | None], scale: Scale, data_range: bool = False) -> tuple[float, float]:
    """The ends of the colour scale: as the scale says, else from the values of the whole row that are not drawn in
    grey."""
    finite = np.concatenate([m.values[np.isfinite(m.values)] for m in matrices if m is not None] or [np.zeros(0)])
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if scale.diverging:
        reach = max(LEAST_REACH, float(np.abs(finite).max()) if finite.size else 0.0)
        return -reach, reach
    if data_range and finite.size:
        kept = finite if scale.grey_below is None else finite[finite >= scale.grey_below]
        return (float(kept.min()), max(float(kept.min()) + 1e-9, float(kept.max()))) if kept.size else (0.0, 1.0)
    lower = scale.lower if scale.lower is not None else min(0.0, lowest)
    return lower, scale.upper if scale.upper is not None else max(lower + 1e-9, highest)


def color_axis(limits: tuple[float, float], scale: Scale, look: Look, right: float) -> dict[str, Any]:
    """The colour axis with its bar, beside the map that ends at `right` of the figure's width."""
    bar = {
        "title": {"text": theme.plain(scale.title), "side": "top", "font": {"size": look.font_size}},
        "tickfont": {"size": look.small_size},
        "thickness": 12,
        "lenmode": "pixels",
        "len": 235,
        "y": 1.0,
        "yanchor": "top",
        "ypad": 0,
        "x": right + 0.02,
        "xanchor": "left",
        "xpad": 0,
        "outlinewidth": 0,
        "ticks": "",
        "nticks": 6,
    }
    if limits == (0.0, 1.0):
        bar |= {"tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", ".25", ".5", ".75", "1"]}
    return {"cmin": limits[0], "cmax": limits[1], "colorscale": scale.colors, "colorbar": bar}


def is_light(value: float, scale: Scale, limits: tuple[float, float]) -> bool:
    """Whether dark text reads better than white on the colour of a value."""
    if scale.diverging:
        return abs(value) < theme.LIGHT_FROM * limits[1]
    return value >= limits[0] + theme.LIGHT_FROM * (limits[1] - limits[0]) or (
        scale.grey_below is not None and value < scale.grey_below
    )


def number_text(value: float, scale: Scale) -> str:
    """The value with a true minus sign; what rounds to zero keeps its sign only where the sign has a colour."""
    text = f"{value:.{scale.digits}f}"
    if scale.grey_below is None and float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\u2212")
