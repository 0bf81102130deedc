"""Learning curves of the stitching layers (Figure 6): training loss by step, one small panel a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.layer_curve import stroke
from repdiss_core.plots.theme import Look

SMOOTH_FROM = 60


@dataclass(frozen=True, eq=False)
class TrainingTrace:
    """The training loss of one stitching layer: `step` and `loss` (n_points,),
    and the style of its curve in Figure 1."""

    name: str
    step: np.ndarray
    loss: np.ndarray
    style: dict[str, str]


@dataclass(frozen=True, eq=False)
class LearningPanel:
    """One panel: the traces of one layer."""

    title: str
    traces: tuple[TrainingTrace, ...] = ()
    state: str = "not computed yet"


def learning_curves(
    panels: Sequence[LearningPanel], look: Look, log_steps: bool = False, height: int = 340
) -> go.Figure:
    """The panels side by side on one scale, step on a linear or logarithmic axis."""
    domains = theme.panel_domains(len(panels), gap=0.035)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": [], "showlegend": True}
    seen: set[str] = set()
    limits = _limits(panels)
    for number, (panel, domain) in enumerate(zip(panels, domains, strict=True), start=1):
        suffix = "" if number == 1 else str(number)
        x = theme.axis(
            look,
            "step",
            domain=domain,
            anchor=f"y{suffix}",
            type="log" if log_steps else "linear",
            showgrid=False,
            automargin=False,
        )
        x |= {"dtick": 1} if log_steps else {"nticks": 5, "rangemode": "tozero"}
        y = theme.axis(
            look,
            "training loss, nats a token" if number == 1 else "",
            anchor=f"x{suffix}",
            showticklabels=number == 1,
            nticks=6,
            automargin=False,
        )
        y |= {"range": list(limits), "tickformat": ".2f"} if limits else {"range": [0, 1], "showticklabels": False}
        if not panel.traces:
            x |= {"range": [0, 1], "showticklabels": False, "type": "linear"}
            layout["annotations"].append(theme.centred_note(look, panel.state, number))
            layout["shapes"].append(theme.quiet_frame(number))
            y |= {"showgrid": False}
            traces.append(theme.axes_holder(number))
        layout |= {f"xaxis{suffix}": x, f"yaxis{suffix}": y | ({"matches": "y"} if number > 1 else {})}
        layout["annotations"].append(theme.panel_title(look, panel.title, number))
        for faint in (True, False):
            traces += [
                _line(t, look, suffix, log_steps, faint, first=t.name not in seen)
                for t in panel.traces
                if not faint or _window(t) > 1
            ]
        seen |= {trace.name for trace in panel.traces}
    layout |= {
        "legend": theme.legend_below(look, height, 1),
        "margin": theme.fixed_margins(look, 4, legend_rows=1) | {"r": 18},
    }
    return theme.assemble(traces, layout, look, height)


def _line(trace: TrainingTrace, look: Look, suffix: str, log_steps: bool, faint: bool, first: bool) -> dict[str, Any]:
    """Every step, faint; or the running mean over `_window` steps, which is what the eye should follow."""
    drawn = stroke(trace.style, look, trace.name)
    keep = np.isfinite(trace.loss) & ((trace.step > 0) | (not log_steps))
    window, loss = _window(trace), trace.loss[keep]
    mean_of = f" (mean of {window} steps)" if window > 1 else ""
    common = {
        "type": "scatter",
        "mode": "lines",
        "name": theme.model_text(trace.name),
        "legendgroup": trace.name,
        "x": trace.step[keep],  # arrays, not lists: Plotly checks a list element by element
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
    }
    if faint:
        line = {"color": drawn.color, "width": 1}
        return common | {"y": loss, "line": line, "opacity": 0.15, "showlegend": False, "hoverinfo": "skip"}
    return common | {
        "y": running_mean(loss, window),
        "showlegend": first,
        "line": {"color": drawn.color, "width": drawn.width * 0.8, "dash": drawn.dash},
        "hovertemplate": (
            f"{theme.model_text(trace.name)}<br>step %{{x:,}}<br><b>training loss "
            f"%{{y:.3f}}</b>{mean_of}<extra></extra>"
        ),
    }


def _window(trace: TrainingTrace) -> int:
    """Steps of the running mean: odd, about a twentieth of the curve; 1 for a curve of few points."""
    n = int(np.isfinite(trace.loss).sum())
    return 1 if n < SMOOTH_FROM else n // 20 | 1


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """(n,) mean of the values within half a window of each point; fewer of them at the ends."""
    if window == 1:
        return values
    half, total = window // 2, np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(values.size)
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, values.size)
    return (total[last] - total[first]) / (last - first)


def _limits(panels: Sequence[LearningPanel]) -> tuple[float, float] | None:
    """The common range: from the lowest loss to the highest start,
    leaving out the rare spike above the 99.5th percentile."""
    losses = [t.loss[np.isfinite(t.loss)] for p in panels for t in p.traces if t.loss.size]
    if not losses or not any(x.size for x in losses):
        return None
    everything = np.concatenate(losses)
    low, high = float(everything.min()), float(max(np.percentile(everything, 99.5), *(x[0] for x in losses if x.size)))
    room = 0.05 * max(high - low, 1e-3)
    return low - room, high + room
