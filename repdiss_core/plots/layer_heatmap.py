"""Rows of layer-by-layer heatmaps on one colour scale (Figures 3, 4, 5, 9, 10): rows f upward, columns g rightward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.heatmap_panel import LARGE, HeatmapPanel, axis_name, outline, panel_axes, panel_traces
from repdiss_core.plots.map_scale import (
    CKA_SCALE,
    DIFFERENCE_SCALE,
    LOSS_SCALE,
    PENALTY_SCALE,
    USUAL_STYLE,
    MapStyle,
    Scale,
    color_axis,
    limits_of,
)
from repdiss_core.plots.theme import Look

__all__ = [
    "CKA_SCALE",
    "DIFFERENCE_SCALE",
    "LOSS_SCALE",
    "PENALTY_SCALE",
    "HeatmapPanel",
    "MapStyle",
    "Scale",
    "heatmap_grid",
    "heatmap_row",
]


ROOM_FOR_BAR = 0.085
SLOTS = 3


def heatmap_row(panels: Sequence[HeatmapPanel], look: Look, scale: Scale = CKA_SCALE, height: int = 360) -> go.Figure:
    """The maps side by side with one colour bar: `heatmap_grid` of one row."""
    return heatmap_grid([panels], look, scale, height)


def heatmap_grid(
    rows: Sequence[Sequence[HeatmapPanel]],
    look: Look,
    scale: Scale = CKA_SCALE,
    height: int = 360,
    style: MapStyle = USUAL_STYLE,
) -> go.Figure:
    """Rows of maps with one colour bar, `height` pixels a row.

    Values are shown in the cells where they fit; NaN cells are hatched and give their reason on hover. Large maps can
    be zoomed: drag over a part; the house in the mode bar shows the whole again.
    """
    panels = [panel for row in rows for panel in row]
    slots = max(SLOTS, *(len(row) for row in rows))  # one map alone is as large as one of three
    own = [panel for panel in panels if panel.scale is not None]
    own_scale = own[0].scale if own else None
    limits = limits_of([panel.matrix for panel in panels if panel.scale is None], scale, style.data_range)
    columns = theme.panel_domains(slots, gap=0.11 if own else 0.065 if slots <= SLOTS else 0.05, right=ROOM_FOR_BAR)
    margin = theme.fixed_margins(look, tick_characters=2)
    right = columns[max(len(row) for row in rows) - 1 - len(own)][1]
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "annotations": [],
        "shapes": [],
        "coloraxis": color_axis(limits, scale, look, right),
        "margin": margin,
    }
    layout |= {"dragmode": "zoom"} if any(max(panel.shape) > LARGE for panel in panels) else {}
    if own_scale is not None:
        own_limits = limits_of([panel.matrix for panel in own], own_scale)
        layout["coloraxis2"] = color_axis(own_limits, own_scale, look, columns[-1][1])
    number = 0
    for row, y_domain in zip(rows, _row_domains(len(rows), height, margin), strict=True):
        for panel, x_domain in zip(row, columns, strict=False):
            number += 1
            layout |= panel_axes(panel, look, number, x_domain, y_domain)
            layout["annotations"].append(theme.panel_title(look, panel.title, number))
            layout["shapes"] += [shape for block in panel.outlines for shape in outline(panel, block, number)]
            if panel.matrix is None or not np.isfinite(panel.matrix.values).any():
                layout["shapes"].append(theme.quiet_frame(number))
                layout["annotations"].append(theme.centred_note(look, panel.state, number))
            traces.append(theme.axes_holder(number))
            if panel.matrix is not None:
                place = {"xaxis": axis_name("x", number), "yaxis": axis_name("y", number)}
                on = panel.scale or scale
                drawn = panel_traces(
                    panel,
                    on,
                    limits if panel.scale is None else limits_of([panel.matrix], on),
                    min(height - 110, 800 / slots),
                    look,
                )
                if panel.scale is not None:
                    drawn = [trace | {"coloraxis": "coloraxis2"} if "coloraxis" in trace else trace for trace in drawn]
                traces += [trace | place for trace in drawn if style.numbers or trace.get("mode") != "text"]
    if scale.lower is not None and not any(p.matrix is not None and np.isfinite(p.matrix.values).any() for p in panels):
        traces.append(theme.bar_holder())
    return theme.assemble(traces, layout, look, height * len(rows))


def _row_domains(n_rows: int, height: int, margin: dict[str, Any]) -> list[tuple[float, float]]:
    """Vertical shares of each row, the first on top; between rows there is room for an axis title and a panel title."""
    whole = height * n_rows - margin["t"] - margin["b"]
    gap = (margin["t"] + margin["b"]) / whole
    side = (1 - gap * (n_rows - 1)) / n_rows
    # Rounding may reach below 0
    return [(max(0.0, 1 - i * (side + gap) - side), 1 - i * (side + gap)) for i in range(n_rows)]
