"""The values of the batches (or sequences) behind one number,
as a strip of dots under which the number and its interval stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.theme import Look

BINS = 48
MANY = 400  # values above which columns take the place of dots


def value_strip(
    sample: np.ndarray,
    statistics: tuple[float, float, float, float],
    look: Look,
    quantity: str,
    unit: str,
    height: int = 170,
) -> go.Figure:
    """Each value as a dot, stacked where they are close; below them the mean and its interval.

    Args:
        sample: (n,) values; those that are not finite are left out.
        statistics: value, standard error, lower and upper end of the interval; NaN where there is none.
        quantity: what is measured, for the axis.
        unit: what a dot is, in the singular.
    """
    numbers = np.flatnonzero(np.isfinite(sample))
    values = sample[numbers]
    layout: dict[str, Any] = {
        "margin": {"l": 10, "r": 10, "t": 8, "b": round(1.5 * look.small_size + 1.7 * look.font_size + 8), "pad": 0}
    }
    if not values.size:
        layout |= {
            "xaxis": theme.axis(look, quantity),
            "yaxis": _hidden(look, 1),
            "annotations": [theme.centred_note(look, "no value", 1)],
        }
        return theme.assemble([theme.axes_holder(1)], layout, look, height)
    level = _stacked(values)
    traces = [
        _dots(values, numbers, level, look, quantity, unit)
        if values.size <= MANY
        else _columns(values, look, quantity, unit)
    ]
    top = int(level.max()) if values.size <= MANY else int(np.histogram(values, BINS)[0].max())
    traces.append(_mean(statistics, -0.14 * top - 0.6, look, quantity))
    layout |= {
        "xaxis": theme.axis(look, f"{quantity}, {theme.count(values.size, unit)}", nticks=7, automargin=False),
        "yaxis": _hidden(look, top),
    }
    return theme.assemble(traces, layout, look, height)


def _stacked(values: np.ndarray) -> np.ndarray:
    """(n,) how high each value stands on those that share its bin, from 1."""
    width = max(float(np.ptp(values)), 1e-12) / BINS
    at = np.minimum(((values - values.min()) / width).astype(int), BINS - 1)
    level = np.zeros(len(values), int)
    filled = np.zeros(BINS, int)
    for i in np.argsort(values, kind="stable"):
        filled[at[i]] += 1
        level[i] = filled[at[i]]
    return level


def _dots(
    values: np.ndarray, numbers: np.ndarray, level: np.ndarray, look: Look, quantity: str, unit: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "values",
        "x": values.tolist(),
        "y": level.tolist(),
        "customdata": (numbers + 1).tolist(),
        "marker": {"size": 6, "color": _color(look), "opacity": 0.75},
        "hovertemplate": f"{unit} %{{customdata}}<br><b>{theme.plain(quantity)} %{{x:.3f}}</b><extra></extra>",
    }


def _columns(values: np.ndarray, look: Look, quantity: str, unit: str) -> dict[str, Any]:
    counts, edges = np.histogram(values, BINS)
    return {
        "type": "bar",
        "name": "values",
        "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "y": counts.tolist(),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": _color(look), "opacity": 0.75},
        "hovertemplate": f"<b>{theme.plain(quantity)} about %{{x:.3f}}</b><br>%{{y}} {unit}s<extra></extra>",
    }


def _mean(statistics: tuple[float, float, float, float], y: float, look: Look, quantity: str) -> dict[str, Any]:
    """The value as a diamond with its interval."""
    value, _, low, high = statistics
    known = np.isfinite(low) and np.isfinite(high)
    ends = {"symmetric": False, "array": [high - value], "arrayminus": [value - low]} if known else {}
    error = {"type": "data", **ends, "thickness": look.line_width, "width": 6} if known else {}
    told = f"  95 % [{low:.3f}, {high:.3f}]" if known else ""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "value",
        "x": [value],
        "y": [y],
        "marker": {"symbol": "diamond", "size": 10, "color": look.text},
        "error_x": {**error, "color": look.text},
        "hovertemplate": f"<b>{theme.plain(quantity)} %{{x:.3f}}</b>{told}<extra></extra>",
    }


def _color(look: Look) -> str:
    return "#8FA9C6" if look.dark else "#3F5873"


def _hidden(look: Look, top: int) -> dict[str, Any]:
    return theme.axis(
        look, range=[-0.28 * top - 1.2, top + 0.8], showticklabels=False, showgrid=False, automargin=False
    )
