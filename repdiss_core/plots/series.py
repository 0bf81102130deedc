"""Points and lines with their intervals over a common quantity, in panels:
trends with size or loss, training, departures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.theme import Look

# Light to dark by size on white, dark to light on black: the largest model always stands out most.
RAMP, RAMP_ON_DARK = ((137, 190, 220), (8, 48, 107)), ((52, 101, 158), (214, 232, 250))


@dataclass(frozen=True, eq=False)
class Series:
    """One kind of point.

    Args:
        name: in the legend; an empty name stays out of it.
        x, y: (n,).
        interval: (2, n) lower and upper ends, or None where there is none.
        hover: (n,) what a point says on hover, lines joined by "<br>", already plain.
        color: of points and line; empty takes the neutral one.
        symbol: of the points; empty draws none.
        dash: of the line; empty draws none.
        labels: (n,) words beside the points; empty for none.
        faint: drawn thin and pale, such as a fitted line.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    interval: np.ndarray | None = None
    hover: tuple[str, ...] = ()
    color: str = ""
    symbol: str = "circle"
    dash: str = ""
    labels: tuple[str, ...] = ()
    faint: bool = False


@dataclass(frozen=True, eq=False)
class SeriesPanel:
    """One panel.

    Args:
        x_ticks: {where: word}; empty lets Plotly choose.
        x_range: ends of the axis, the first on the left.
        zero_line: whether y = 0 is drawn.
    """

    title: str
    x_title: str
    y_title: str
    series: tuple[Series, ...] = ()
    x_ticks: dict[float, str] = field(default_factory=dict)
    x_range: tuple[float, float] | None = None
    zero_line: bool = False
    state: str = "not computed yet"


def ramp(fraction: float, look: Look) -> str:
    """The colour of a model by size, 0 the smallest and 1 the largest of its family."""
    low, high = RAMP_ON_DARK if look.dark else RAMP
    at = min(1.0, max(0.0, fraction))
    return "#" + "".join(f"{round(a + at * (b - a)):02x}" for a, b in zip(low, high, strict=True))


def series_panels(
    panels: Sequence[SeriesPanel], look: Look, height: int = 360, shared_y: bool = True, legend_rows: int = 2
) -> go.Figure:
    """The panels side by side.

    Args:
        shared_y: one scale for all of them, told at the left alone.
    """
    domains = theme.panel_domains(len(panels), gap=0.05 if shared_y else 0.085)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    seen: set[str] = set()
    limits = _limits(panels) if shared_y else None
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=True), start=1):
        layout |= _axes(panel, look, number, domain, shared_y, limits)
        layout["annotations"].append(theme.panel_title(look, panel.title, number))
        if not panel.series:
            layout["annotations"].append(theme.centred_note(look, panel.state, number))
            layout["shapes"].append(theme.quiet_frame(number))
            traces.append(theme.axes_holder(number))
        for one in panel.series:
            traces.append(_trace(one, look, number, first=bool(one.name) and one.name not in seen))
            seen.add(one.name)
    rows = legend_rows if seen - {""} else 0
    layout |= {"showlegend": rows > 0, "margin": theme.fixed_margins(look, tick_characters=5, legend_rows=rows)}
    if rows:
        layout["legend"] = theme.legend_below(look, height, rows)
    return theme.assemble(traces, layout, look, height)


def _limits(panels: Sequence[SeriesPanel]) -> tuple[float, float] | None:
    """The common range of all values and intervals, with room around it."""
    parts = [
        np.ravel(a) for p in panels for s in p.series for a in (s.y, s.interval if s.interval is not None else s.y)
    ]
    values = np.concatenate(parts) if parts else np.zeros(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    room = 0.07 * max(float(np.ptp(values)), 1e-3)
    return float(values.min()) - room, float(values.max()) + room


def _axes(
    panel: SeriesPanel,
    look: Look,
    number: int,
    domain: tuple[float, float],
    shared: bool,
    limits: tuple[float, float] | None,
) -> dict[str, Any]:
    suffix = "" if number == 1 else str(number)
    x = theme.axis(
        look, theme.plain(panel.x_title), domain=domain, anchor=f"y{suffix}", showgrid=False, automargin=False, nticks=6
    )
    if panel.x_ticks:
        x |= {"tickvals": list(panel.x_ticks), "ticktext": [theme.plain(word) for word in panel.x_ticks.values()]}
    elif not panel.series:
        x["showticklabels"] = False
    if panel.x_range:
        x["range"] = list(panel.x_range)
    told = number == 1 or not shared
    y = theme.axis(
        look,
        theme.plain(panel.y_title) if told else "",
        anchor=f"x{suffix}",
        showticklabels=told,
        nticks=7,
        tickformat=".2f",
        automargin=False,
    )
    if limits:
        y["range"] = list(limits)
    elif not panel.series:
        y |= {"range": [0, 1], "showticklabels": False, "showgrid": False}
    if panel.zero_line:
        y |= {"zeroline": True, "zerolinecolor": theme.QUIET_LINE, "zerolinewidth": 1.5}
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y}


def _trace(one: Series, look: Look, number: int, first: bool) -> dict[str, Any]:
    suffix = "" if number == 1 else str(number)
    color = one.color or (theme.CONTROL_COLOR if one.faint else look.text)
    mode = "+".join(
        word for word, wanted in (("lines", one.dash), ("markers", one.symbol), ("text", one.labels)) if wanted
    )
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode,
        "name": theme.plain(one.name),
        "legendgroup": one.name or None,
        "showlegend": first,
        "x": np.asarray(one.x, dtype=float).tolist(),
        "y": [float(v) if np.isfinite(v) else None for v in one.y],
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "line": {"color": color, "width": look.line_width * (0.5 if one.faint else 0.8), "dash": one.dash or "solid"},
        "marker": {
            "symbol": one.symbol or "circle",
            "size": 3.2 * look.line_width,
            "color": color,
            "line": {"width": 1.4, "color": color},
        },
    }
    if one.hover:
        trace |= {"customdata": list(one.hover), "hovertemplate": "%{customdata}<extra></extra>"}
    else:
        trace["hoverinfo"] = "skip"
    if one.labels:
        trace |= {
            "text": [theme.plain(label) for label in one.labels],
            "textposition": "top center",
            "textfont": {"size": look.small_size - 1},
        }
    if one.interval is not None:
        known = np.isfinite(one.interval).all(axis=0)
        up, down = (np.where(known, np.abs(end - one.y), 0).tolist() for end in (one.interval[1], one.interval[0]))
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": down,
            "thickness": 1.2,
            "width": 3,
            "color": color,
        }
    return trace
