"""How far models lie apart: distributions by kind of pair (Figure 8), the map with its tree,
and the models as points of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.depth_fraction_curve import KINDS, group_color
from repdiss_core.plots.theme import Look

SCALE = "Cividis"
SYMBOLS = {"top": "circle", "bottom": "square", "other": "diamond"}
GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class DistancePanel:
    """Distances of the pairs of each kind: (name, kind, (n,) distances in radians)."""

    title: str
    groups: tuple[tuple[str, str, np.ndarray], ...] = ()
    state: str = "not computed yet"


@dataclass(frozen=True, eq=False)
class MapPanel:
    """A distance matrix and its tree.

    Args:
        names: (M,) models.
        distance: (M, M).
        leaves: order of rows and columns.
        branches: ((4,) x, (4,) heights) of the tree, leaves at 0, 1, 2 …
        accuracy: (M,) that colours the strip.
        groups: (M,) "top", "bottom" or "other".
    """

    title: str
    names: tuple[str, ...] = ()
    distance: np.ndarray | None = None
    leaves: tuple[int, ...] = ()
    branches: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    accuracy: np.ndarray | None = None
    groups: tuple[str, ...] = ()
    state: str = "not computed yet"


@dataclass(frozen=True, eq=False)
class PointPanel:
    """Models in the plane: (M, 2) points, coloured by accuracy, shaped by group."""

    title: str
    names: tuple[str, ...] = ()
    points: np.ndarray | None = None
    accuracy: np.ndarray | None = None
    groups: tuple[str, ...] = ()
    stress: float = float("nan")
    state: str = "not computed yet"


def distance_groups(panels: Sequence[DistancePanel], look: Look, height: int = 360) -> go.Figure:
    """Every pair as a point, with its group's quartiles; panels on one scale."""
    domains = theme.panel_domains(len(panels), gap=0.05)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=True), start=1):
        suffix = "" if number == 1 else str(number)
        ticks = [
            "<br>".join([*map(theme.plain, name.split("\n")), theme.count(len(values), "pair")])
            for name, _, values in panel.groups
        ]
        layout[f"xaxis{suffix}"] = theme.axis(
            look,
            "",
            domain=domain,
            anchor=f"y{suffix}",
            tickvals=list(range(len(ticks))),
            ticktext=ticks,
            tickangle=0,
            range=[-0.6, max(len(ticks), 3) - 0.4],
            showgrid=False,
        )
        y = theme.axis(
            look,
            "distance, radians" if number == 1 else "",
            anchor=f"x{suffix}",
            showticklabels=number == 1 and bool(panel.groups),
            nticks=6,
        )
        layout[f"yaxis{suffix}"] = (
            y | ({"matches": "y"} if number > 1 else {}) | ({} if panel.groups else {"range": [0, 1]})
        )
        layout["annotations"].append(theme.panel_title(look, panel.title, number))
        if not panel.groups:
            layout["annotations"].append(theme.centred_note(look, panel.state, number))
            traces.append(theme.axes_holder(number))
        for position, (name, kind, values) in enumerate(panel.groups):
            traces += _distribution(position, name, kind, values, look, suffix)
    return theme.assemble(traces, layout, look, height)


def _distribution(
    position: int, name: str, kind: str, values: np.ndarray, look: Look, suffix: str
) -> list[dict[str, Any]]:
    color = group_color(kind, look)
    spread = ((np.arange(len(values)) * GOLDEN) % 1 - 0.5) * 0.42  # even, and the same at every drawing
    place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": False}
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    points = place | {
        "type": "scatter", "mode": "markers", "x": (position + spread).tolist(), "y": values.tolist(),
        "marker": {"color": color, "size": 6, "opacity": 0.55, "symbol": KINDS[kind][2]},
        "hovertemplate": f"{theme.plain(name.replace(chr(10), chr(32)))}<br><b>%{{y:.3f}}</b> radians<extra></extra>",
    }  # fmt: skip
    box = place | {
        "type": "box",
        "x0": position,
        "q1": [q1],
        "median": [median],
        "q3": [q3],
        "lowerfence": [float(values.min())],
        "upperfence": [float(values.max())],
        "x": [position],
        "width": 0.56,
        "line": {"color": color, "width": look.line_width * 0.8},
        "fillcolor": "rgba(0,0,0,0)",
        "boxpoints": False,
        "whiskerwidth": 0.3,
        "hoverinfo": "skip",
    }
    box.pop("x0")
    return [points, box]


def distance_maps(panels: Sequence[MapPanel], look: Look, height: int = 560) -> go.Figure:
    """For each panel the tree, a strip of accuracies, and the matrix in the tree's order."""
    domains = theme.panel_domains(len(panels), gap=0.06, right=0.09)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    everything = [p.distance[~np.eye(len(p.distance), dtype=bool)] for p in panels if p.distance is not None]
    top = float(np.nanmax(np.concatenate(everything))) if everything else 1.0
    for index, (panel, domain) in enumerate(zip(panels, domains, strict=True)):
        tree, strip, matrix = 3 * index + 1, 3 * index + 2, 3 * index + 3
        layout |= _map_axes(panel, look, domain, (tree, strip, matrix), top)
        layout["annotations"].append(theme.panel_title(look, panel.title, tree))
        if panel.distance is None:
            layout["annotations"].append(theme.centred_note(look, panel.state, matrix))
            traces += [theme.axes_holder(number) for number in (tree, strip, matrix)]
            continue
        traces += _tree(panel, look, tree) + _strip_and_matrix(panel, look, strip, matrix, top, first=index == 0)
    layout["margin"] = {"l": 8, "r": 8, "t": look.font_size + 20, "b": 8, "pad": 0}
    return theme.assemble(traces, layout, look, height)


def _map_axes(
    panel: MapPanel, look: Look, domain: tuple[float, float], numbers: tuple[int, int, int], top: float
) -> dict[str, Any]:
    n = max(len(panel.names), 1)
    short = [_short(panel.names[i]) for i in panel.leaves]
    layout: dict[str, Any] = {}
    for number, (low, high), kind in zip(
        numbers, ((0.76, 0.97), (0.695, 0.735), (0.0, 0.68)), ("tree", "strip", "matrix"), strict=True
    ):
        suffix = "" if number == 1 else str(number)
        bare = {"showticklabels": False, "showgrid": False}
        layout[f"xaxis{suffix}"] = theme.axis(
            look, "", domain=domain, anchor=f"y{suffix}", range=[-0.5, n - 0.5], **bare
        )
        layout[f"yaxis{suffix}"] = theme.axis(look, "", domain=(low, high), anchor=f"x{suffix}", **bare)
        if kind == "tree":
            layout[f"yaxis{suffix}"] |= {"showticklabels": True, "range": [0, top * 1.05], "nticks": 3}
        if kind == "matrix":
            ticks = {"showticklabels": True, "tickvals": list(range(n)), "ticktext": short, "tickfont": {"size": 10}}
            layout[f"xaxis{suffix}"] |= {**ticks, "tickangle": -90}
            layout[f"yaxis{suffix}"] |= {**ticks, "autorange": False, "range": [n - 0.5, -0.5]}
    return layout


def _tree(panel: MapPanel, look: Look, number: int) -> list[dict[str, Any]]:
    suffix = "" if number == 1 else str(number)
    xs: list[float | None] = []
    ys: list[float | None] = []
    for x, y in panel.branches:
        xs += [*x.tolist(), None]
        ys += [*y.tolist(), None]
    line = {"color": look.text, "width": 1.4}
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": xs,
            "y": ys,
            "line": line,
            "xaxis": f"x{suffix}",
            "yaxis": f"y{suffix}",
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _strip_and_matrix(
    panel: MapPanel, look: Look, strip: int, matrix: int, top: float, first: bool
) -> list[dict[str, Any]]:
    order = list(panel.leaves)
    assert panel.accuracy is not None and panel.distance is not None
    accuracy, distance = panel.accuracy[order], panel.distance[np.ix_(order, order)]
    names = [panel.names[i] for i in order]
    bar = {"thickness": 12, "x": 1.0, "xanchor": "right", "tickfont": {"size": look.small_size}, "outlinewidth": 0}
    common = {"type": "heatmap", "showlegend": False}
    return [
        common
        | {
            "z": [accuracy.tolist()],
            "xaxis": f"x{strip}",
            "yaxis": f"y{strip}",
            "colorscale": SCALE,
            "zmin": 0,
            "zmax": 1,
            "showscale": False,
            "customdata": [[[name, panel.groups[i]] for name, i in zip(names, order, strict=True)]],
            "hovertemplate": "%{customdata[0]}<br><b>%{z:.2f}</b> right on lexical overlap<extra></extra>",
        },
        common
        | {
            "z": distance.tolist(),
            "xaxis": f"x{matrix}",
            "yaxis": f"y{matrix}",
            "colorscale": "Viridis_r",
            "zmin": 0,
            "zmax": top,
            "showscale": first,
            "colorbar": bar
            | {
                "title": {"text": "radians", "font": {"size": look.small_size}, "side": "right"},
                "y": 0.34,
                "len": 0.68,
            },
            "customdata": [[[a, b] for b in names] for a in names],
            "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br><b>%{z:.3f}</b> radians<extra></extra>",
        },
    ]


def model_points(panels: Sequence[PointPanel], look: Look, height: int = 420) -> go.Figure:
    """Models as points whose distances come as near to theirs as a plane allows."""
    domains = theme.panel_domains(len(panels), gap=0.05, right=0.09)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=True), start=1):
        suffix = "" if number == 1 else str(number)
        bare = {"showticklabels": False, "nticks": 5}
        layout[f"xaxis{suffix}"] = theme.axis(look, "", domain=domain, anchor=f"y{suffix}", **bare)
        layout[f"yaxis{suffix}"] = theme.axis(look, "", anchor=f"x{suffix}", scaleanchor=f"x{suffix}", **bare)
        layout["annotations"].append(theme.panel_title(look, panel.title, number))
        if panel.points is None:
            layout["annotations"].append(theme.centred_note(look, panel.state, number))
            traces.append(theme.axes_holder(number))
            continue
        traces.append(_points(panel, look, suffix, first=number == 1))
    layout["margin"] = {"l": 8, "r": 8, "t": look.font_size + 20, "b": 8, "pad": 0}
    return theme.assemble(traces, layout, look, height)


def _points(panel: PointPanel, look: Look, suffix: str, first: bool) -> dict[str, Any]:
    points, accuracy = np.asarray(panel.points), np.asarray(panel.accuracy)
    bar = {
        "title": {"text": "lexical-overlap<br>accuracy", "font": {"size": look.small_size}},
        "thickness": 12,
        "x": 1.0,
        "xanchor": "right",
        "tickfont": {"size": look.small_size},
        "outlinewidth": 0,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "showlegend": False,
        "marker": {
            "symbol": [SYMBOLS[group] for group in panel.groups],
            "size": [9 if group == "other" else 13 for group in panel.groups],
            "color": accuracy.tolist(),
            "colorscale": SCALE,
            "cmin": 0,
            "cmax": 1,
            "line": {"width": 1, "color": look.text},
            "showscale": first,
            "colorbar": bar,
        },
        "customdata": [[name, group] for name, group in zip(panel.names, panel.groups, strict=True)],
        "hovertemplate": "%{customdata[0]}<br><b>%{marker.color:.2f}</b> right on lexical overlap<extra></extra>",
    }


def _short(name: str) -> str:
    """ "nli-natural-07" is shown as "07", "nli-15pct-03" as "15pct-03"."""
    return name.removeprefix("nli-natural-").removeprefix("nli-")
