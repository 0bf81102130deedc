"""A whole family as one map: model against model, or every layer of every member against every other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.map_scale import CKA_SCALE, color_axis
from repdiss_core.plots.theme import Look

LABEL_WIDTH = 0.56  # of the font size, a character
MOST_NUMBERS = 16  # models whose cells are wide enough for a number


def overview(
    names: Sequence[str], means: np.ndarray, look: Look, height: int = 560, state: str = "not computed yet"
) -> go.Figure:
    """Model × model; a cell is the mean of the map of the two, on the diagonal over pairs of different layers.

    Args:
        names: (M,) short names, the first at the top left.
        means: (M, M); NaN where a map is missing.
    """
    n = len(names)
    trace = _heatmap(means) | {
        "name": "family",
        "customdata": [[[theme.plain(f), theme.plain(g)] for g in names] for f in names],
        "hovertemplate": "%{customdata[0]} × %{customdata[1]}<br><b>mean CKA %{z:.3f}</b><extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    ticks = {"tickvals": list(range(n)), "ticktext": [theme.plain(name) for name in names]}
    layout = _layout(n, look, names, ticks, share=0.56)
    traces = [trace, _numbers(means, look)] if n <= MOST_NUMBERS else [trace]
    return theme.assemble([*traces, *_mark_missing(means, layout, look, state)], layout, look, height)


def all_layers(
    names: Sequence[str],
    depths: Sequence[int],
    values: np.ndarray,
    error: np.ndarray,
    look: Look,
    height: int = 720,
    state: str = "not computed yet",
) -> go.Figure:
    """Every layer of every member against every other, with lines between members.

    Args:
        depths: (M,) layers of each member.
        values, error: (N, N) CKA and its standard error, N the sum of the depths.
    """
    ends = np.cumsum((0, *depths))
    middle = ((ends[1:] + ends[:-1] - 1) / 2).tolist()
    owner = [
        f"{theme.plain(name)}, layer {layer}"
        for name, depth in zip(names, depths, strict=True)
        for layer in range(1, depth + 1)
    ]
    # Names would make room on the axes for the colour bar's cell
    where = owner if np.isfinite(values).any() else list(range(len(owner)))
    trace = _heatmap(values) | {
        "name": "layers",
        "x": where,
        "y": where,
        "customdata": error.astype(np.float32),
        "hovertemplate": "%{y}<br>%{x}<br><b>CKA %{z:.3f}</b> ± %{customdata:.3f} (standard error)<extra></extra>",
    }
    ticks = {"tickvals": middle, "ticktext": [theme.plain(name) for name in names]}
    layout = _layout(int(ends[-1]), look, names, ticks, share=0.8)
    lines = [at - 0.5 for at in ends[1:-1]]
    layout |= {"dragmode": "zoom"}
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"fixedrange": False}
    layout["shapes"] = [_line(at, int(ends[-1]), across) for at in lines for across in (False, True)]
    return theme.assemble([trace, *_mark_missing(values, layout, look, state)], layout, look, height)


def _heatmap(values: np.ndarray) -> dict[str, Any]:
    """Values from 0 to 1 by colour; those below 0 are told on hover and take the colour of 0."""
    return {"type": "heatmap", "z": values.astype(np.float32), "coloraxis": "coloraxis", "hoverongaps": False}


def _numbers(means: np.ndarray, look: Look) -> dict[str, Any]:
    """The value of each cell, white on dark cells and dark on light ones."""
    cells = [(row, column, means[row, column]) for row, column in np.argwhere(np.isfinite(means)).tolist()]
    return {
        "type": "scatter",
        "mode": "text",
        "name": "numbers",
        "x": [column for _, column, _ in cells],
        "y": [row for row, _, _ in cells],
        "text": [f"{value:.2f}".replace("-", "\u2212") for *_, value in cells],
        "textfont": {
            "size": look.small_size - (1 if len(means) <= 12 else 3),
            "color": [theme.INK if value >= theme.LIGHT_FROM else "#FFFFFF" for *_, value in cells],
        },
        "hoverinfo": "skip",
    }


def _mark_missing(values: np.ndarray, layout: dict[str, Any], look: Look, state: str) -> list[dict[str, Any]]:
    """Gives cells without a value a quiet ground, and a map without any a sentence and its colour bar."""
    known = np.isfinite(values)
    if not known.all():
        layout["shapes"] = [theme.quiet_frame(1), *layout.get("shapes", [])]
    if known.any():
        return []
    layout["annotations"] = [theme.centred_note(look, state, 1)]
    return [theme.bar_holder()]


def _layout(n: int, look: Look, names: Sequence[str], ticks: dict[str, Any], share: float) -> dict[str, Any]:
    """Axes, colour bar and margins; the map takes at most `share` of the width, and the bar stands beside it."""
    common = {"showgrid": False, "constrain": "domain", "automargin": False, "range": [-0.5, n - 0.5], **ticks}
    room = round(max(len(name) for name in names) * LABEL_WIDTH * look.small_size) + 14
    x = theme.axis(look, "", anchor="y", tickangle=-45, constraintoward="right", domain=[0, share], **common)
    y = theme.axis(look, "", anchor="x", scaleanchor="x", constraintoward="top", **common) | {"range": [n - 0.5, -0.5]}
    return {
        "xaxis": x,
        "yaxis": y,
        "coloraxis": color_axis((0.0, 1.0), CKA_SCALE, look, share),
        "margin": {"l": room, "r": 8, "t": 10, "b": round(room * 0.75) + 6, "pad": 0},
    }


def _line(at: float, n: int, across: bool) -> dict[str, Any]:
    """A thin line between two members."""
    ends = (
        {"x0": -0.5, "x1": n - 0.5, "y0": at, "y1": at} if across else {"x0": at, "x1": at, "y0": -0.5, "y1": n - 0.5}
    )
    return {"type": "line", "xref": "x", "yref": "y", **ends, "line": {"color": "#FFFFFF", "width": 1}}
