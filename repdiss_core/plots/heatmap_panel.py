"""One layer-by-layer heatmap: its values, axes, outlined blocks, and what a cell says on hover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from repdiss_core.base.results import LayerMatrix
from repdiss_core.plots import theme
from repdiss_core.plots.map_scale import Scale, is_light, number_text
from repdiss_core.plots.theme import Look

LARGE = 24  # layers above which a map can be zoomed


@dataclass(frozen=True, eq=False)
class HeatmapPanel:
    """One map of a row.

    Args:
        title: what is compared, such as "within GeLU".
        row_name, column_name: the models f (rows) and g (columns), as they are called on the axes.
        n_rows, n_columns: layers of f and g; they give an empty panel its shape.
        matrix: the values, or None while there are none.
        pending: (L_f, L_g) True where a value is still to come.
        state: what an empty panel says, such as "computing" or "not computed yet".
        outlines: blocks of a map within one model that are outlined, each (first layer, layer after the last), counted
            from 0.
        relative: whether axes run over the fraction of the depth, from 0 to 1, instead of layers.
        scale: a scale of its own, with a colour bar of its own, for the last map of a row; None for the scale of the
            others.
        beside: (L_f, L_g) a line more for the hover of each cell; None for none.
    """

    title: str
    row_name: str
    column_name: str
    n_rows: int
    n_columns: int
    matrix: LayerMatrix | None = None
    pending: np.ndarray | None = None
    state: str = "not computed yet"
    outlines: tuple[tuple[int, int], ...] = ()
    relative: bool = False
    scale: Scale | None = None
    beside: list[list[str]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the map, drawn or not."""
        return self.matrix.values.shape if self.matrix else (self.n_rows, self.n_columns)


def axis_name(axis: str, number: int) -> str:
    return axis if number == 1 else f"{axis}{number}"


def outline(panel: HeatmapPanel, block: tuple[int, int], number: int) -> list[dict[str, Any]]:
    """A frame around one block on the diagonal: a light line on a dark one, to be seen on any colour."""
    n = panel.shape[0]
    low, high = (at / n for at in block) if panel.relative else (at + 0.5 for at in block)
    where = {
        "type": "rect",
        "xref": axis_name("x", number),
        "yref": axis_name("y", number),
        "x0": low,
        "x1": high,
        "y0": low,
        "y1": high,
    }
    return [where | {"line": {"color": color, "width": width}} for color, width in ((theme.INK, 4), ("#FFFFFF", 1.8))]


def panel_axes(
    panel: HeatmapPanel, look: Look, number: int, x_domain: tuple[float, float], y_domain: tuple[float, float]
) -> dict[str, Any]:
    rows, columns = panel.shape
    common: dict[str, Any] = {
        "showgrid": False,
        "constrain": "domain",
        "automargin": False,
        "fixedrange": max(panel.shape) <= LARGE,
    }
    x = theme.axis(look, theme.plain(panel.column_name), domain=x_domain, anchor=axis_name("y", number), **common)
    across = {"scaleanchor": axis_name("x", number), "constraintoward": "top"}
    y = theme.axis(
        look, theme.plain(panel.row_name), domain=y_domain, anchor=axis_name("x", number), **across, **common
    )
    for side, count, labels in ((x, columns, "column_labels"), (y, rows, "row_labels")):
        if panel.relative:
            side |= {"range": [0, 1], "tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", ".25", ".5", ".75", "1"]}
            continue
        ticks = theme.layer_ticks(count)
        names = getattr(panel.matrix, labels) if panel.matrix else None
        side |= {
            "range": [0.5, count + 0.5],
            "tickvals": ticks,
            "ticktext": [theme.plain(names[t - 1]) if names else str(t) for t in ticks],
        }
    return {axis_name("xaxis", number): x, axis_name("yaxis", number): y}


def _at(panel: HeatmapPanel, count: int) -> list[float]:
    """Where the layers of a side with `count` layers stand on its axis."""
    return [(layer - 0.5) / count if panel.relative else float(layer) for layer in range(1, count + 1)]


def panel_traces(
    panel: HeatmapPanel, scale: Scale, limits: tuple[float, float], side: float, look: Look
) -> list[dict[str, Any]]:
    matrix = panel.matrix
    assert matrix is not None
    rows, columns = matrix.values.shape
    pending = panel.pending if panel.pending is not None else np.zeros((rows, columns), bool)
    missing = ~np.isfinite(matrix.values) & ~pending
    grey = np.zeros_like(missing) if scale.grey_below is None else (matrix.values < scale.grey_below)
    cell = side / max(rows, columns)
    shared = {
        "type": "heatmap",
        "x": _at(panel, columns),
        "y": _at(panel, rows),
        "hoverongaps": False,
        "xgap": 1 if cell > 14 else 0,
        "ygap": 1 if cell > 14 else 0,
    }
    values = {"customdata": _custom_data(panel), "hovertemplate": _hover(panel, scale)}
    traces = [
        shared | values | {"name": "values", "z": _only(matrix.values, ~grey & ~missing), "coloraxis": "coloraxis"}
    ]
    if grey.any():
        traces.append(
            shared
            | values
            | {"name": "below scale", "z": _only(matrix.values, grey), **_one_color(theme.NEGATIVE_COLOR)}
        )
    if pending.any():
        where = _only(np.zeros_like(matrix.values), pending)
        traces.append(
            shared
            | {
                "name": "pending",
                "z": where,
                "hovertemplate": "still to come<extra></extra>",
                **_one_color(theme.QUIET_FILL),
            }
        )
    if missing.any() and not missing.all():
        reason = "<br>".join(theme.plain(note) for note in matrix.notes) or "no value"
        where = _only(np.zeros_like(matrix.values), missing)
        traces.append(
            shared
            | {
                "name": "no value",
                "z": where,
                "hovertemplate": reason + "<extra></extra>",
                **_one_color(theme.QUIET_FILL),
            }
        )
        traces.append(_hatching(missing, panel))
    if cell >= 8 * (scale.digits + 2) and np.isfinite(matrix.values).any():
        traces.append(_numbers(panel, matrix.values, scale, limits, look))
    return traces


def _custom_data(panel: HeatmapPanel) -> list[list[list[str]]]:
    """(L_f, L_g, 5 or 6): label of the row, label of the column, lower and upper end of the interval, standard error,
    and what else the panel says of a cell."""
    matrix = panel.matrix
    assert matrix is not None
    cells = [
        [
            [row, column, *(f"{part:.3f}" for part in matrix.interval[:, i, j]), f"{matrix.standard_error[i, j]:.4f}"]
            for j, column in enumerate(map(theme.plain, matrix.column_labels))
        ]
        for i, row in enumerate(map(theme.plain, matrix.row_labels))
    ]
    if panel.beside is None:
        return cells
    return [[[*cell, more] for cell, more in zip(*rows, strict=True)] for rows in zip(cells, panel.beside, strict=True)]


def _hover(panel: HeatmapPanel, scale: Scale) -> str:
    """Both layers, value, standard error and interval, number of batches: in this order in every figure."""
    assert panel.matrix is not None
    return (
        f"{theme.plain(panel.row_name)}, layer %{{customdata[0]}}<br>{theme.plain(panel.column_name)}, "
        f"layer %{{customdata[1]}}<br>"
        f"<b>{theme.plain(scale.title)} %{{z:.3f}}</b> ± %{{customdata[4]}} (standard error)<br>95 % "
        f"[%{{customdata[2]}}, %{{customdata[3]}}]<br>"
        f"{theme.count(panel.matrix.n_batches, scale.unit)}{'' if panel.beside is None else '<br>%{customdata[5]}'}"
        "<extra></extra>"
    )


def _numbers(
    panel: HeatmapPanel, values: np.ndarray, scale: Scale, limits: tuple[float, float], look: Look
) -> dict[str, Any]:
    """The value of each cell, white on dark cells and dark on light ones."""
    known = [(row, column, values[row, column]) for row, column in np.argwhere(np.isfinite(values))]
    y, x = (_at(panel, count) for count in values.shape)
    return {
        "type": "scatter",
        "mode": "text",
        "x": [x[column] for _, column, _ in known],
        "y": [y[row] for row, _, _ in known],
        "text": [number_text(value, scale) for *_, value in known],
        "textfont": {
            "size": look.small_size,
            "color": [theme.INK if is_light(v, scale, limits) else "#FFFFFF" for *_, v in known],
        },
        "hoverinfo": "skip",
    }


def _only(values: np.ndarray, where: np.ndarray) -> list[list[float | None]]:
    return [
        [float(v) if keep else None for v, keep in zip(row, keeps, strict=True)]
        for row, keeps in zip(values, where, strict=True)
    ]


def _one_color(color: str) -> dict[str, Any]:
    return {"colorscale": [[0, color], [1, color]], "showscale": False}


def _hatching(cells: np.ndarray, panel: HeatmapPanel) -> dict[str, Any]:
    """Diagonal lines over the given cells, three to a cell."""
    x: list[float | None] = []
    y: list[float | None] = []
    rows, columns = cells.shape
    at_y, at_x = _at(panel, rows), _at(panel, columns)
    tall, wide = (1 / rows, 1 / columns) if panel.relative else (1.0, 1.0)
    for row, column in np.argwhere(cells):
        for start in (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75):
            low, high = max(-0.5, -0.5 + start), min(0.5, 0.5 + start)
            x += [at_x[column] + low * wide, at_x[column] + high * wide, None]
            y += [at_y[row] + (low - start) * tall, at_y[row] + (high - start) * tall, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": theme.QUIET_LINE, "width": 1},
        "hoverinfo": "skip",
    }
