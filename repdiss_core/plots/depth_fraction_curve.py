"""Accuracy or CKA against the fraction of layers, for groups of pairs of models (Figures 2 and 7):
bands are 95 % intervals over pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.theme import GROUP_COLORS, GROUP_COLORS_ON_DARK, Look

# (colour, dash, marker) of each kind of pair; f → g are two directions of the same colour.
KINDS = {
    "top_top": ("top", "solid", "circle"),
    "bottom_bottom": ("bottom", "solid", "square"),
    "top_bottom": ("between", "solid", "triangle-up"),
    "bottom_top": ("between", "dash", "triangle-down"),
    "pair_forth": ("between", "solid", "triangle-up"),
    "pair_back": ("between", "dash", "triangle-down"),
}
SIGNIFICANT = 0.05
HEAD_SPREAD = 3.0  # points without a line stand further apart than those of curves


@dataclass(frozen=True, eq=False)
class GroupCurve:
    """One kind of pairs: mean (L,) and interval (2, L) (NaN where there is none) over `n_pairs` at depths x (L,)."""

    name: str
    kind: str
    mean: np.ndarray
    interval: np.ndarray
    n_pairs: int


@dataclass(frozen=True, eq=False)
class DepthPanel:
    """One panel.

    Args:
        x: (L,) fraction of layers; the last point of a stitching panel is 1, where only the head is exchanged.
        labels: (L,) what a point is called in its hover text.
        head_apart: draw the last point apart from the curve.
        p_adjusted: (L,) p-values of the permutation test over models; written above points below 0.05.
        reference: (name, value) of a horizontal line.
    """

    title: str
    x: np.ndarray
    labels: tuple[str, ...]
    curves: tuple[GroupCurve, ...] = ()
    head_apart: bool = False
    p_adjusted: np.ndarray | None = None
    reference: tuple[str, float] | None = None
    state: str = "not computed yet"


def group_color(kind: str, look: Look) -> str:
    """The colour of a kind of pairs."""
    return (GROUP_COLORS_ON_DARK if look.dark else GROUP_COLORS)[KINDS[kind][0]]


def p_text(p: float) -> str:
    """ ".003", "<.001"."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def depth_curves(panels: Sequence[DepthPanel], look: Look, x_title: str, y_title: str, height: int = 420) -> go.Figure:
    """Panels side by side on one scale."""
    domains = theme.panel_domains(len(panels), gap=0.05)
    limits = _limits(panels)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    seen: set[str] = set()
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=True), start=1):
        layout |= _axes(panel, look, number, domain, x_title, y_title, limits)
        layout["annotations"] += [theme.panel_title(look, panel.title, number), *_p_labels(panel, look, number)]
        layout["shapes"] += _marks(panel, number)
        if panel.reference is not None:
            layout["annotations"].append(_reference_label(panel, look, number))
        if not panel.curves:
            layout["annotations"].append(theme.centred_note(look, panel.state, number))
            traces.append(theme.axes_holder(number))
        for index, curve in enumerate(panel.curves):
            shift = (index - (len(panel.curves) - 1) / 2) * 0.006
            traces += _curve(panel, curve, look, number, shift, curve.name not in seen)
            seen.add(curve.name)
    layout |= {
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -0.2,
            "yanchor": "top",
            "font": {"size": look.small_size},
            "itemwidth": 44,
        },
        "margin": {"l": 8, "r": 8, "t": look.font_size + 20, "b": 8, "pad": 0},
    }
    return theme.assemble(traces, layout, look, height)


def _limits(panels: Sequence[DepthPanel]) -> tuple[float, float] | None:
    parts = [np.ravel(a) for p in panels for c in p.curves for a in (c.mean, c.interval)]
    parts += [np.array([p.reference[1]]) for p in panels if p.reference is not None]
    everything = np.concatenate(parts) if parts else np.zeros(0)
    finite = everything[np.isfinite(everything)]
    if not finite.size:
        return None
    room = max(float(np.ptp(finite)), 1e-2)
    return float(finite.min()) - 0.06 * room, float(finite.max()) + 0.13 * room


def _axes(
    panel: DepthPanel,
    look: Look,
    number: int,
    domain: tuple[float, float],
    x_title: str,
    y_title: str,
    limits: tuple[float, float] | None,
) -> dict[str, Any]:
    suffix = "" if number == 1 else str(number)
    step = float(panel.x[1] - panel.x[0]) if len(panel.x) > 1 else 0.1
    span = [float(panel.x[0]) - 0.35 * step, float(panel.x[-1]) + 0.35 * step] if len(panel.x) else [0, 1]
    x = theme.axis(
        look,
        x_title,
        domain=domain,
        anchor=f"y{suffix}",
        range=span,
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        ticktext=["0", ".25", ".5", ".75", "1"],
        showgrid=False,
    )
    y = theme.axis(
        look,
        y_title if number == 1 else "",
        anchor=f"x{suffix}",
        showticklabels=number == 1,
        nticks=7,
        tickformat=".2f",
    )
    y |= {"range": list(limits)} if limits else {"range": [0, 1], "showticklabels": False}
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y | ({"matches": "y"} if number > 1 else {})}


def _curve(
    panel: DepthPanel, curve: GroupCurve, look: Look, number: int, shift: float, first: bool
) -> list[dict[str, Any]]:
    suffix = "" if number == 1 else str(number)
    _, dash, symbol = KINDS[curve.kind]
    color = group_color(curve.kind, look)
    place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "legendgroup": curve.name, "type": "scatter"}
    joined = len(panel.x) - 1 if panel.head_apart else len(panel.x)
    known = np.isfinite(curve.interval).all(axis=0)
    traces = []
    if known[:joined].all() and joined > 1:
        x = panel.x[:joined] + shift
        edge = [*curve.interval[1, :joined].tolist(), *curve.interval[0, :joined].tolist()[::-1]]
        traces.append(
            place
            | {
                "x": [*x.tolist(), *x.tolist()[::-1]],
                "y": edge,
                "fill": "toself",
                "fillcolor": color,
                "opacity": 0.2,
                "mode": "none",
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    for part, mode in ((slice(0, joined), "lines+markers"), (slice(joined, None), "markers")):
        if not len(panel.x[part]):
            continue
        low, high = curve.interval[:, part]
        aside = shift * HEAD_SPREAD if mode == "markers" else shift
        trace = place | {
            "mode": mode,
            "name": theme.plain(f"{curve.name} ({theme.count(curve.n_pairs, 'pair')})"),
            "x": (panel.x[part] + aside).tolist(),
            "y": curve.mean[part].tolist(),
            "customdata": [
                [label, f"{a:.3f}", f"{b:.3f}"] for label, a, b in zip(panel.labels[part], low, high, strict=True)
            ],
            "hovertemplate": (
                f"{theme.plain(curve.name)}, %{{customdata[0]}}<br><b>%{{y:.3f}}</b>  95 % [%{{customdata[1]}}, "
                f"%{{customdata[2]}}]<br>{theme.count(curve.n_pairs, 'pair')}<extra></extra>"
            ),
            "line": {"color": color, "width": look.line_width, "dash": dash},
            "marker": {
                "symbol": symbol if mode != "markers" else f"{symbol}-open",
                "size": 3 * look.line_width,
                "color": color,
                "line": {"width": 1.5, "color": color},
            },
            "showlegend": first and mode != "markers",
        }
        if mode == "markers" and known[part].all():
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": (high - curve.mean[part]).tolist(),
                "arrayminus": (curve.mean[part] - low).tolist(),
                "thickness": 1.2,
                "width": 3,
                "color": color,
            }
        traces.append(trace)
    return traces


def _marks(panel: DepthPanel, number: int) -> list[dict[str, Any]]:
    """The line before the head's cut, and the reference line."""
    suffix = "" if number == 1 else str(number)
    shapes = []
    if panel.head_apart and len(panel.x) > 1:
        at = float(panel.x[-2] + panel.x[-1]) / 2
        shapes.append(
            {
                "type": "line",
                "xref": f"x{suffix}",
                "yref": f"y{suffix} domain",
                "x0": at,
                "x1": at,
                "y0": 0,
                "y1": 1,
                "line": {"color": theme.QUIET_LINE, "width": 1, "dash": "dot"},
                "layer": "below",
            }
        )
    if panel.reference is not None:
        where = {
            "xref": f"x{suffix} domain",
            "yref": f"y{suffix}",
            "x0": 0,
            "x1": 1,
            "y0": panel.reference[1],
            "y1": panel.reference[1],
        }
        shapes.append(
            {
                "type": "line",
                **where,
                "line": {"color": theme.QUIET_LINE, "width": 1.2, "dash": "dot"},
                "layer": "below",
            }
        )
    return shapes


def _p_labels(panel: DepthPanel, look: Look, number: int) -> list[dict[str, Any]]:
    """The corrected p-values below 0.05, at the top of the panel; and what stands right of the dotted line."""
    suffix = "" if number == 1 else str(number)
    common = {
        "xref": f"x{suffix}",
        "yref": f"y{suffix} domain",
        "showarrow": False,
        "font": {"size": look.small_size - 1},
    }
    labels = []
    if panel.curves and panel.p_adjusted is not None:
        for x, p in zip(panel.x, panel.p_adjusted, strict=True):
            if np.isfinite(p) and p < SIGNIFICANT:
                text = f"p {p_text(float(p))}" if p >= 0.001 else "p <.001"
                labels.append(common | {"text": text, "x": float(x), "y": 0.995, "yanchor": "top"})
    if panel.head_apart and panel.curves:
        labels.append(
            common | {"text": "head<br>only", "x": float(panel.x[-1]), "y": 0.01, "yanchor": "bottom", "opacity": 0.75}
        )
    return labels


def _reference_label(panel: DepthPanel, look: Look, number: int) -> dict[str, Any]:
    suffix = "" if number == 1 else str(number)
    name, value = panel.reference or ("", 0.0)
    where = {
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix}",
        "x": 0.01,
        "y": value,
        "xanchor": "left",
        "yanchor": "bottom",
    }
    return {
        "text": theme.plain(name),
        **where,
        "showarrow": False,
        "opacity": 0.8,
        "font": {"size": look.small_size - 1},
    }
