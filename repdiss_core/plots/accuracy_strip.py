"""Every model's accuracy in distribution and on lexical overlap, the models in the order of the latter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from repdiss_core.plots import theme
from repdiss_core.plots.theme import GROUP_COLORS, GROUP_COLORS_ON_DARK, Look


@dataclass(frozen=True)
class ModelAccuracy:
    """One model: its accuracies, its group ("top", "bottom", "other") and whether it is chosen."""

    name: str
    in_distribution: float
    overlap: float
    group: str
    chosen: bool = False


def accuracy_strip(models: Sequence[ModelAccuracy], look: Look, height: int = 280) -> go.Figure:
    """Two points a model, joined by a thin line; chosen models have a ring."""
    ordered = sorted(models, key=lambda m: (m.overlap, m.name))
    colors = GROUP_COLORS_ON_DARK if look.dark else GROUP_COLORS
    x = list(range(len(ordered)))
    stems = {
        "type": "scatter",
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
        "line": {"color": theme.QUIET_LINE, "width": 1},
        "x": [value for i in x for value in (i, i, None)],
        "y": [value for m in ordered for value in (m.overlap, m.in_distribution, None)],
    }
    traces: list[dict[str, Any]] = [stems]
    for label, values, filled in (
        ("in distribution", [m.in_distribution for m in ordered], False),
        ("lexical overlap", [m.overlap for m in ordered], True),
    ):
        color = [colors.get(m.group, theme.OTHER_COLOR if not look.dark else "#A6A6A6") for m in ordered]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": x,
                "y": values,
                "showlegend": False,
                "marker": {
                    "symbol": "circle" if filled else "circle-open",
                    "size": 11,
                    "color": color,
                    "line": {
                        "width": [3 if m.chosen else 1.5 for m in ordered],
                        "color": [look.text if m.chosen else c for m, c in zip(ordered, color, strict=True)],
                    },
                },
                "customdata": [[m.name, m.group] for m in ordered],
                "hovertemplate": f"%{{customdata[0]}}<br><b>%{{y:.3f}}</b> right, {label}<extra></extra>",
                "selected": {"marker": {"opacity": 1}},
                "unselected": {"marker": {"opacity": 1}},
            }
        )
        neutral = {
            "symbol": "circle" if filled else "circle-open",
            "size": 11,
            "color": theme.QUIET_LINE,
            "line": {"width": 1.5},
        }
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": [None],
                "y": [None],
                "marker": neutral,
                "hoverinfo": "skip",
            }
        )
    ticks = [m.name.removeprefix("nli-natural-").removeprefix("nli-") for m in ordered]
    layout = {
        "xaxis": theme.axis(
            look,
            "models, by lexical-overlap accuracy",
            tickvals=x,
            ticktext=ticks,
            tickfont={"size": 11},
            showgrid=False,
            range=[-0.7, max(len(x), 1) - 0.3],
        ),
        "yaxis": theme.axis(look, "fraction right", range=[-0.04, 1.06], nticks=6, tickformat=".1f"),
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": look.small_size},
        },
        "clickmode": "event+select",
        "margin": {"l": 8, "r": 8, "t": look.font_size + 20, "b": 8, "pad": 0},
    }
    return theme.assemble(traces, layout, look, height)
