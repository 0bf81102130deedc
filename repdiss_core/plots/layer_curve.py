"""Loss or penalty by layer (Figure 1): colour tells the bottom model f, dash the top model g,
controls are thin and grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.base.results import LayerCurve
from repdiss_core.plots import theme
from repdiss_core.plots.theme import Look

BAND_FROM_LAYERS = 10
DODGE = 0.03
UNITS = {"loss": "loss, nats a token", "penalty": "penalty, nats a token"}
X_TITLES = {"loss": "stitched after layer", "penalty": "stitched after layer"}


@dataclass(frozen=True)
class Reference:
    """A horizontal line, such as a model's own loss; `kind` gives its colour."""

    name: str
    value: float
    kind: str = ""


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """One panel: its curves (layers may be missing), its reference lines and the depth of its models."""

    title: str
    n_layers: int
    curves: tuple[LayerCurve, ...] = ()
    references: tuple[Reference, ...] = ()
    state: str = "not computed yet"


@dataclass(frozen=True)
class Stroke:
    """How a curve is drawn, from its `style` (role, kind_f, kind_g)."""

    color: str
    width: float
    dash: str
    symbol: str
    label: str


def stroke(style: dict[str, str], look: Look, name: str = "") -> Stroke:
    """Colour of f, dash by g; identical pairs and stitches solid or dashed,
    other-seed controls thin grey with open marks."""
    f, g = style.get("kind_f", ""), style.get("kind_g", "")
    symbol = theme.MODEL_SYMBOLS.get(f, "diamond")
    if style.get("role") == "control":
        return Stroke(theme.CONTROL_COLOR, look.line_width * 0.6, "solid", f"{symbol}-open", name)
    return Stroke(look.model_color(f), look.line_width, "solid" if f == g else "dash", symbol, name)


def layer_curves(
    panels: Sequence[CurvePanel], look: Look, quantity: str = "loss", height: int = 420, bounded: bool = False
) -> go.Figure:
    """The panels side by side on one scale; bars, or bands for deep models, show the 95 % interval of every point.

    Args:
        bounded: whether values end at 1, so that the scale runs from 0 to 1, as on maps.
    """
    domains = theme.panel_domains(len(panels), gap=0.05)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    seen: set[str] = set()
    limits = _limits(panels)
    if bounded:  # so that figures compare
        limits = min(0.0, limits[0] if limits else 0.0), 1.02
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=True), start=1):
        layout |= _axes(panel, look, number, domain, quantity, limits)
        layout["annotations"].append(theme.panel_title(look, panel.title, number))
        layout["annotations"] += _reference_labels(panel, look, number, limits)
        layout["shapes"] += [_reference_line(r, look, number) for r in panel.references]
        if not panel.curves:
            layout["annotations"].append(theme.centred_note(look, panel.state, number))
            layout["shapes"].append(theme.quiet_frame(number))
            traces.append(theme.axes_holder(number))
        for index, curve in enumerate(panel.curves):
            shift = (index - (len(panel.curves) - 1) / 2) * DODGE if panel.n_layers < BAND_FROM_LAYERS else 0.0
            traces += _curve_traces(curve, look, number, quantity, shift, first=curve.name not in seen)
            seen.add(curve.name)
    layout |= {
        "showlegend": True,
        "legend": theme.legend_below(look, height),
        "margin": theme.fixed_margins(look, tick_characters=4, legend_rows=2),
    }
    return theme.assemble(traces, layout, look, height)


def _limits(panels: Sequence[CurvePanel]) -> tuple[float, float] | None:
    """The common range of values, intervals and references of all panels, with room around it."""
    parts = [np.ravel(c.interval) for p in panels for c in p.curves] + [c.values for p in panels for c in p.curves]
    everything = np.concatenate([*parts, [r.value for p in panels for r in p.references]]) if parts else np.zeros(0)
    finite = everything[np.isfinite(everything)]
    if not finite.size:
        return None
    room = 0.07 * max(float(np.ptp(finite)), 1e-3)
    return float(finite.min()) - room, float(finite.max()) + room


def _axes(
    panel: CurvePanel,
    look: Look,
    number: int,
    domain: tuple[float, float],
    quantity: str,
    limits: tuple[float, float] | None,
) -> dict[str, Any]:
    suffix = "" if number == 1 else str(number)
    place = {
        "domain": domain,
        "anchor": f"y{suffix}",
        "range": [0.6, panel.n_layers + _room_for_labels(panel)],
        "automargin": False,
    }
    x = theme.axis(
        look, X_TITLES.get(quantity, "after layer"), tickvals=theme.layer_ticks(panel.n_layers), showgrid=False, **place
    )
    title = UNITS.get(quantity, quantity) if number == 1 else ""
    y = theme.axis(
        look, title, anchor=f"x{suffix}", showticklabels=number == 1, nticks=7, tickformat=".2f", automargin=False
    )
    y |= {"range": list(limits)} if limits else {"range": [0, 1], "showticklabels": False}
    y |= {"showgrid": bool(panel.curves)}
    if number > 1:
        y |= {"matches": "y"}
    if quantity == "penalty":
        y |= {"zeroline": True, "zerolinecolor": theme.QUIET_LINE, "zerolinewidth": 1.5}
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y}


def _room_for_labels(panel: CurvePanel) -> float:
    """Layers' widths kept free to the right of the last layer."""
    return 0.4 if not panel.references else max(0.4, 0.28 * panel.n_layers)


def _curve_traces(
    curve: LayerCurve, look: Look, number: int, quantity: str, shift: float, first: bool
) -> list[dict[str, Any]]:
    line = stroke(curve.style, look, curve.name)
    suffix = "" if number == 1 else str(number)
    place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "legendgroup": curve.name}
    x = [float(layer) + shift for layer in curve.layer]
    known = np.isfinite(curve.interval).all(axis=0)
    main: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": theme.model_text(curve.name),
        "x": x,
        "y": curve.values.tolist(),
        "customdata": [
            [int(layer), f"{low:.3f}", f"{high:.3f}"]
            for layer, low, high in zip(curve.layer, *curve.interval, strict=True)
        ],
        "hovertemplate": _hover(curve, quantity),
        "line": {"color": line.color, "width": line.width, "dash": line.dash},
        "marker": {
            "symbol": line.symbol,
            "size": 3 * look.line_width,
            "color": line.color,
            "line": {"width": 1.5, "color": line.color},
        },
        "showlegend": first,
    }
    if len(x) >= BAND_FROM_LAYERS:
        edge = [*curve.interval[1].tolist(), *curve.interval[0].tolist()[::-1]]
        band = {
            "type": "scatter",
            "x": [*x, *x[::-1]],
            "y": edge,
            "fill": "toself",
            "fillcolor": line.color,
            "opacity": 0.2,
            "mode": "none",
        }
        return [band | place | {"hoverinfo": "skip", "showlegend": False}, main | place]
    main["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": np.where(known, curve.interval[1] - curve.values, 0).tolist(),
        "arrayminus": np.where(known, curve.values - curve.interval[0], 0).tolist(),
        "thickness": 1.2,
        "width": 3,
        "color": line.color,
    }
    return [main | place]


def _hover(curve: LayerCurve, quantity: str) -> str:
    """Layer, value and interval, number of sequences: the order of every figure."""
    n = curve.provenance.get("n_sequences")
    return (
        f"{theme.model_text(curve.name)}, after layer %{{customdata[0]}}<br>"
        f"<b>{quantity} %{{y:.3f}}</b>  95 % [%{{customdata[1]}}, %{{customdata[2]}}]"
        f"{'<br>' + theme.count(int(n), 'sequence') if n else ''}<extra></extra>"
    )


def _reference_line(reference: Reference, look: Look, number: int) -> dict[str, Any]:
    suffix = "" if number == 1 else str(number)
    color = look.model_color(reference.kind)
    where = {
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix}",
        "x0": 0,
        "x1": 1,
        "y0": reference.value,
        "y1": reference.value,
    }
    return {"type": "line", **where, "line": {"color": color, "width": 1.2, "dash": "dot"}, "layer": "below"}


def _reference_labels(
    panel: CurvePanel, look: Look, number: int, limits: tuple[float, float] | None
) -> list[dict[str, Any]]:
    """A label at the right end of each line: the higher one above its line, the lower one below."""
    suffix = "" if number == 1 else str(number)
    ordered = sorted(panel.references, key=lambda r: r.value)
    told_by_kind = len({r.kind for r in ordered}) == len(ordered)  # then the short name is enough
    labels = []
    for index, reference in enumerate(ordered):
        name = (
            f"{theme.KIND_NAMES[reference.kind]} alone"
            if told_by_kind and reference.kind in theme.KIND_NAMES
            else reference.name
        )
        labels.append(
            {
                "text": theme.plain(f"{name} {reference.value:.3f}"),
                "xref": f"x{suffix} domain",
                "yref": f"y{suffix}",
                "x": 1,
                "y": reference.value,
                "xanchor": "right",
                "yanchor": "top" if index == 0 and len(ordered) > 1 else "bottom",
                "showarrow": False,
                "font": {"size": look.small_size - 1},
            }
        )
    return labels
