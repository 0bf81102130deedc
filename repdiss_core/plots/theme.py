"""One visual language: every colour, font size and line width of the figures, and the looks they are drawn in.

Looks: "page" for the dashboard, "presenting" for a screen in a seminar room, "print" for a paper. Every figure carries
dark text on white, or light on dark, of its own, so that a saved picture stands alone; on the dashboard `PAGE_CSS` lets
text and ground follow the theme at once, also when it changes while the page is open.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

MODEL_COLORS = {"gelu": "#0072B2", "solu": "#D55E00"}
MODEL_COLORS_ON_DARK = {"gelu": "#3D9BD6", "solu": "#F0803A"}
MODEL_SYMBOLS = {"gelu": "circle", "solu": "square"}
KIND_NAMES = {"gelu": "GeLU", "solu": "SoLU"}
CONTROL_COLOR = "#8C8C8C"
OTHER_COLOR = "#6B6B6B"
NEGATIVE_COLOR = "#C9C9C9"
QUIET_FILL = "rgba(128,128,128,0.10)"
QUIET_LINE = "rgba(128,128,128,0.45)"
GRID_COLOR = "rgba(128,128,128,0.18)"
LIGHT_FROM = 0.56  # of Viridis: above it dark text reads better than white
INK, PAPER = "#1F2328", "#FFFFFF"
CHALK, NIGHT = "#E6E8EB", "#14171C"
PAGE_CSS = """
.js-plotly-plot .main-svg { background: transparent !important; }
.js-plotly-plot .bglayer .bg { fill: none !important; }
.js-plotly-plot :is(.xaxislayer-above, .yaxislayer-above, .infolayer) text { fill: currentColor !important; }
"""
LOCAL = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
}  # Plotly.js offers to upload figures where it is not told not to
FONT_FAMILY = '"Source Sans", "Source Sans 3", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'
GROUP_COLORS = {"top": "#009E73", "bottom": "#CC79A7", "between": "#6B6B6B"}
GROUP_COLORS_ON_DARK = {"top": "#2BC298", "bottom": "#DE97BE", "between": "#A6A6A6"}


@dataclass(frozen=True)
class Look:
    """Font sizes, line width and colours of one way of showing figures; `scale` multiplies the figures' heights."""

    name: str
    font_size: int
    small_size: int
    line_width: float
    text: str = INK
    background: str = PAPER
    dark: bool = False
    scale: float = 1.0

    def model_color(self, kind: str) -> str:
        """The colour of a kind of model ("gelu", "solu"); a neutral grey for any other."""
        return (MODEL_COLORS_ON_DARK if self.dark else MODEL_COLORS).get(kind, OTHER_COLOR)


@dataclass(frozen=True)
class Spec:
    """A figure as the browser gets it: Plotly's JSON, and the height in pixels that is kept for it."""

    json: str
    height: int


LOOKS = {
    "page": Look("page", 14, 13, 2.5),
    "page_dark": Look("page_dark", 14, 13, 2.5, CHALK, NIGHT, dark=True),
    "presenting": Look("presenting", 20, 18, 4.0, scale=1.25),
    "presenting_dark": Look("presenting_dark", 20, 18, 4.0, CHALK, NIGHT, dark=True, scale=1.25),
    "print": Look("print", 14, 13, 2.0, "#000000"),
}


def plain(text: object) -> str:
    """Text for a title, label or hover in which no character is taken as markup."""
    return html.escape(str(text), quote=False)


def model_text(text: object) -> str:
    """`plain`, with activation functions as the paper writes them: "solu → gelu" becomes "SoLU → GeLU"."""
    return re.sub(r"(?<![-\w])(gelu|solu)(?![-\w])", lambda found: KIND_NAMES[found[0]], plain(text))


def count(n: int, unit: str = "") -> str:
    """A count with thin separators and its unit: "1 batch", "25 600 tokens"."""
    plural = unit + "es" if unit.endswith("ch") else unit + "s"
    return f"{n:,}".replace(",", "\u2009") + (f" {unit if n == 1 else plural}" if unit else "")


def assemble(traces: list[dict[str, Any]], layout: dict[str, Any], look: Look, height: int) -> go.Figure:
    """A figure in the given look, `height` pixels high, or as much higher as the look wants."""
    base: dict[str, Any] = {
        "template": "none",
        "height": round(height * look.scale),
        "font": {"size": look.font_size, "family": FONT_FAMILY, "color": look.text},
        "hoverlabel": {
            "font": {"size": look.small_size, "family": FONT_FAMILY, "color": CHALK},
            "align": "left",
            "bgcolor": "#2A3038",
            "bordercolor": "#59626E",
        },
        "hovermode": "closest",
        "dragmode": False,
        "showlegend": False,
        "margin": {"l": 8, "r": 8, "t": look.font_size + 20, "b": 8, "pad": 0},
        "paper_bgcolor": look.background,
        "plot_bgcolor": look.background,
    }
    return go.Figure({"data": traces, "layout": {**base, **layout}})


def spec_of(figure: go.Figure) -> Spec:
    """The figure for the browser; it was checked when it was built."""
    return Spec(figure.to_json(validate=False), int(figure.layout.height))


def axis(look: Look, title: str = "", **fields: Any) -> dict[str, Any]:
    """A quiet axis: faint grid, no zero line, no spikes."""
    return {
        "title": {"text": title, "font": {"size": look.font_size}, "standoff": 8},
        "tickfont": {"size": look.small_size},
        "gridcolor": GRID_COLOR,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "automargin": True,
        "fixedrange": True,
        **fields,
    }


def fixed_margins(look: Look, tick_characters: int, legend_rows: int = 0) -> dict[str, Any]:
    """Margins for a titled x and y axis, worked out here: Plotly's own search for them doubles the time to draw."""
    return {
        "l": round(1.6 * look.font_size + 0.6 * look.small_size * tick_characters + 2),
        "r": 6,
        "t": look.font_size + 20,
        "b": round(_below_axis(look) + 1.7 * look.small_size * legend_rows + (10 if legend_rows else 0)),
        "pad": 0,
    }


def _below_axis(look: Look) -> float:
    return 1.5 * look.small_size + 1.7 * look.font_size + 6


def legend_below(look: Look, height: int, legend_rows: int = 2) -> dict[str, Any]:
    """A horizontal legend under the axis titles, in the room that `fixed_margins` keeps for it."""
    room = fixed_margins(look, 0, legend_rows)["b"] - _below_axis(look)
    place = {"yref": "container", "y": room / (height * look.scale), "yanchor": "top", "x": 0, "xanchor": "left"}
    return {"orientation": "h", **place, "font": {"size": look.small_size}, "itemwidth": 44}


def panel_title(look: Look, text: str, axis_number: int, y_offset: int = 10) -> dict[str, Any]:
    """An annotation above the left edge of a panel."""
    suffix = "" if axis_number == 1 else str(axis_number)
    return {
        "text": plain(text),
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": y_offset - 6,
        "showarrow": False,
        "font": {"size": look.font_size, "weight": 600},
    }


def centred_note(look: Look, text: str, axis_number: int) -> dict[str, Any]:
    """A quiet sentence in the middle of a panel that has nothing to show yet."""
    suffix = "" if axis_number == 1 else str(axis_number)
    return {
        "text": plain(text),
        "xref": f"x{suffix} domain",
        "yref": f"y{suffix} domain",
        "x": 0.5,
        "y": 0.5,
        "showarrow": False,
        "opacity": 0.75,
        "font": {"size": look.small_size},
    }


def quiet_frame(axis_number: int) -> dict[str, Any]:
    """The ground of a panel that has nothing to show yet."""
    suffix = "" if axis_number == 1 else str(axis_number)
    corners = {"x0": 0, "x1": 1, "y0": 0, "y1": 1}
    place = {"xref": f"x{suffix} domain", "yref": f"y{suffix} domain", "layer": "below"}
    return {"type": "rect", **place, **corners, "fillcolor": QUIET_FILL, "line": {"width": 0}}


def axes_holder(axis_number: int) -> dict[str, Any]:
    """A trace without points: Plotly draws the axes of an empty panel only if a trace lies on them."""
    suffix = "" if axis_number == 1 else str(axis_number)
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def bar_holder() -> dict[str, Any]:
    """A cell outside of the map: Plotly draws the colour bar only for a trace with a value."""
    return {
        "type": "heatmap",
        "name": "scale",
        "x": [-9],
        "y": [-9],
        "z": [[0]],
        "coloraxis": "coloraxis",
        "hoverinfo": "skip",
    }


def panel_domains(n_panels: int, gap: float, right: float = 0.0) -> list[tuple[float, float]]:
    """Equal shares of the width for a row of panels, `gap` apart, leaving `right` free for a colour bar."""
    width = (1.0 - right - gap * (n_panels - 1)) / n_panels
    return [(i * (width + gap), i * (width + gap) + width) for i in range(n_panels)]


def layer_ticks(n_layers: int, at_most: int = 12) -> list[int]:
    """Layers that get a tick: all of a shallow model, every second, fifth, … of a deep one; the last one always."""
    step = next(s for s in (1, 2, 4, 5, 10, 20, 50, 100, n_layers) if n_layers / s <= at_most)
    ticks = [layer for layer in range(1, n_layers + 1) if layer % step == 0 or (layer == 1 and step > 2)]
    return ticks if n_layers in ticks or n_layers - ticks[-1] < step / 2 + 1 else [*ticks, n_layers]


def chart_config(file_name: str, image_format: str = "svg") -> dict[str, Any]:
    """Plotly's settings: a mode bar that appears on hover and saves the picture in the browser itself."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", file_name).strip("-.") or "figure"
    return {
        **LOCAL,
        "displayModeBar": "hover",
        "scrollZoom": False,
        "doubleClick": False,
        "doubleClickDelay": 1,  # ms: two cells clicked one after the other are two clicks
        "modeBarButtonsToRemove": [
            "zoom2d",
            "pan2d",
            "select2d",
            "lasso2d",
            "zoomIn2d",
            "zoomOut2d",
            "autoScale2d",
        ],  # "resetScale2d" shows where axes can be zoomed
        "toImageButtonOptions": {"format": image_format, "filename": safe, "scale": 2 if image_format == "png" else 1},
    }
