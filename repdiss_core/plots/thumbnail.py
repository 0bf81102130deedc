"""Small pictures of stored results as SVG text, for the paper's map:
no axes, no words, the same colours as the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repdiss_core.base.results import LayerCurve, LayerMatrix
from repdiss_core.plots import theme
from repdiss_core.plots.layer_curve import stroke
from repdiss_core.plots.theme import GROUP_COLORS, LOOKS

HEIGHT, GAP = 64, 12
VIRIDIS = np.array(
    [
        (68, 1, 84),
        (72, 40, 120),
        (62, 74, 137),
        (49, 104, 142),
        (38, 130, 142),
        (31, 158, 137),
        (53, 183, 121),
        (109, 205, 89),
        (180, 222, 44),
        (253, 231, 37),
    ]
)


def heatmaps_svg(matrices: Sequence[LayerMatrix | None]) -> str:
    """A row of maps, each `HEIGHT` high; an empty frame for a map that is not there."""
    parts = []
    for number, matrix in enumerate(matrices):
        left = number * (HEIGHT + GAP)
        if matrix is None:
            parts.append(f'<rect x="{left}" y="0" width="{HEIGHT}" height="{HEIGHT}" fill="{theme.QUIET_FILL}"/>')
            continue
        rows, columns = matrix.values.shape
        width, height = HEIGHT / columns, HEIGHT / rows
        for (i, j), value in np.ndenumerate(matrix.values):
            place = (
                f'x="{left + j * width:.2f}" y="{HEIGHT - (i + 1) * height:.2f}" width="{width - 0.6:.2f}" '
                f'height="{height - 0.6:.2f}"'
            )
            parts.append(f'<rect {place} fill="{cell_color(float(value))}"/>')
    return _svg(len(matrices) * (HEIGHT + GAP) - GAP, parts)


def cell_color(value: float) -> str:
    """The colour of a CKA value: viridis from 0 to 1, grey below 0 and where there is no value."""
    if not np.isfinite(value):
        return theme.QUIET_FILL
    if value < 0:
        return theme.NEGATIVE_COLOR
    at = min(value, 1.0) * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    red, green, blue = VIRIDIS[low] + (at - low) * (VIRIDIS[low + 1] - VIRIDIS[low])
    return f"#{round(red):02x}{round(green):02x}{round(blue):02x}"


def lines_svg(panels: Sequence[Sequence[tuple[np.ndarray, np.ndarray, dict[str, str]]]], width: int = 216) -> str:
    """A row of panels of lines (x, y, style) on one scale; a style with "group" ("top", "bottom", "between") takes that
    group's colour."""
    everything = [y[np.isfinite(y)] for panel in panels for _, y, _ in panel]
    share = (width - GAP * (len(panels) - 1)) / max(1, len(panels))
    parts = [f'<rect width="{width}" height="{HEIGHT}" fill="{theme.QUIET_FILL}"/>'] if not everything else []
    if everything and any(y.size for y in everything):
        low, high = (float(f(np.concatenate(everything))) for f in (np.min, np.max))
        for number, panel in enumerate(panels):
            left = number * (share + GAP)
            parts.append(
                f'<path d="M{left:.1f} {HEIGHT - 0.5}h{share:.1f}" stroke="{theme.QUIET_LINE}" stroke-width="1"/>'
            )
            parts += [_polyline(line, left, share, low, max(high, low + 1e-9)) for line in panel]
    return _svg(width, parts)


def _polyline(
    line: tuple[np.ndarray, np.ndarray, dict[str, str]], left: float, width: float, low: float, high: float
) -> str:
    x, y, style = line
    keep = np.isfinite(y)
    if not keep.any():
        return ""
    x, y = x[keep].astype(float), y[keep]
    at_x = left + 3 + (width - 6) * (x - x.min()) / max(float(np.ptp(x)), 1e-9)
    at_y = 4 + (HEIGHT - 10) * (1 - (y - low) / (high - low))
    drawn = stroke(style, LOOKS["page"])
    color = GROUP_COLORS[style["group"]] if "group" in style else drawn.color
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(at_x, at_y, strict=True))
    dash = ' stroke-dasharray="5 3"' if drawn.dash == "dash" else ""
    thin = 1.0 if style.get("role") == "control" else 1.8
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{thin}" '
        f'stroke-linejoin="round"{dash}/>'
    )


def curve_line(curve: LayerCurve) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """A curve over layers as a line of a thumbnail."""
    return curve.layer, curve.values, curve.style


def _svg(width: float, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {HEIGHT}" width="{width:.0f}" '
        f'height="{HEIGHT}">{"".join(parts)}</svg>'
    )
