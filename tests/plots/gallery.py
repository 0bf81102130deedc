"""Every figure builder with easy and hard input, light and dark, on one HTML page: made to be looked at after a change.

    python tests/plots/gallery.py gallery.html

The arrays are drawn from a seeded generator; nothing here is a result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from repdiss_core.base.results import LayerCurve, LayerMatrix
from repdiss_core.plots.family_matrix import all_layers, overview
from repdiss_core.plots.layer_curve import CurvePanel, Reference, layer_curves
from repdiss_core.plots.layer_heatmap import (
    DIFFERENCE_SCALE,
    PENALTY_SCALE,
    HeatmapPanel,
    MapStyle,
    heatmap_grid,
    heatmap_row,
)
from repdiss_core.plots.learning_curve import LearningPanel, TrainingTrace, learning_curves
from repdiss_core.plots.series import Series, SeriesPanel, ramp, series_panels
from repdiss_core.plots.theme import LOOKS, PAGE_CSS, Look
from repdiss_core.plots.value_strip import value_strip

PAPER_CURVES = (("SoLU → GeLU", "solu", "gelu", "stitch"), ("GeLU → SoLU", "gelu", "solu", "stitch"))
IDENTICAL = (
    ("GeLU → GeLU, same model", "gelu", "gelu", "identical"),
    ("SoLU → SoLU, same model", "solu", "solu", "identical"),
)
CONTROLS = (
    ("GeLU → GeLU, other seed", "gelu", "gelu", "control"),
    ("SoLU → SoLU, other seed", "solu", "solu", "control"),
)


def matrix(rows: int, columns: int, seed: int = 0, low: float = 0.3) -> LayerMatrix:
    """A generated map whose similarity falls with the distance between the layers."""
    rng = np.random.default_rng(seed)
    i, j = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    values = low + (0.98 - low) * np.exp(-2.5 * np.abs(i - j)) - 0.04 * rng.random((rows, columns))
    error = np.full_like(values, 0.01)
    return LayerMatrix(values, error, np.stack([values - 0.02, values + 0.02]), n_batches=100)


def changed(source: LayerMatrix, cells: dict[tuple[int, int], float], notes: tuple[str, ...] = ()) -> LayerMatrix:
    """The same map with some cells replaced."""
    values, interval = source.values.copy(), source.interval.copy()
    for cell, value in cells.items():
        values[cell] = value
        interval[:, cell[0], cell[1]] = value - 0.02, value + 0.02
    return LayerMatrix(values, source.standard_error, interval, source.n_batches, notes=notes)


def curve(name: str, f: str, g: str, role: str, n_layers: int, level: float, missing: int = 0) -> LayerCurve:
    """A generated curve; the last `missing` layers are left out."""
    layer = np.arange(1, n_layers + 1 - missing)
    values = level - 0.05 * np.linspace(0, 2, n_layers)[: layer.size]
    interval = np.stack([values - 0.018, values + 0.018])
    return LayerCurve(
        name, layer, values, np.full(values.shape, 0.009), interval, {"role": role, "kind_f": f, "kind_g": g}
    )


def curve_panel(n_layers: int, missing: int = 0) -> CurvePanel:
    """Four curves, two controls, two reference lines."""
    levels = (3.72, 3.66, 3.36, 3.34, 3.70, 3.63)
    curves = tuple(
        curve(*spec, n_layers, level, missing)
        for spec, level in zip(PAPER_CURVES + IDENTICAL + CONTROLS, levels, strict=True)
    )
    return CurvePanel(
        f"{n_layers}-layer models",
        n_layers,
        curves,
        (Reference("GeLU alone", 3.322, "gelu"), Reference("SoLU alone", 3.335, "solu")),
    )


def learning_panels(n_layers: int) -> list[LearningPanel]:
    """Generated learning curves; the last layer has none yet."""
    rng, step = np.random.default_rng(1), np.arange(0, 2001, 20)
    panels = []
    for layer in range(1, n_layers + 1):
        traces = [
            TrainingTrace(
                name,
                step,
                level + 2.5 * np.exp(-step / 150) + 0.03 * rng.standard_normal(step.size),
                {"role": role, "kind_f": f, "kind_g": g},
            )
            for (name, f, g, role), level in zip(PAPER_CURVES + IDENTICAL, (3.75, 3.7, 3.4, 3.38), strict=True)
        ]
        panels.append(LearningPanel(f"layer {layer}", tuple(traces) if layer < n_layers else ()))
    return panels


SHAPES = ("2l64-h32", "3l96-h32", "4l128-h32", "4l128-h8", "6l160-h32", "8l192-h32")
PYTHIA_DEPTHS = (6, 12, 24, 16, 24, 32, 32, 36)


def block_map(n_layers: int, blocks: tuple[tuple[int, int], ...], relative: bool = False) -> HeatmapPanel:
    """A generated map within one model, with frames around its blocks."""
    title = f"Within {n_layers} layers, {'fraction of the depth' if relative else 'layers'}"
    return HeatmapPanel(
        title,
        "mini-neox-a",
        "mini-neox-a",
        n_layers,
        n_layers,
        matrix(n_layers, n_layers, 3),
        outlines=blocks,
        relative=relative,
    )


def family(depths: tuple[int, ...], missing: int | None = None) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """(names, generated maps of all layers of a family, their means);
    those of the member `missing` are not there yet."""
    ends = np.cumsum((0, *depths))
    where = np.concatenate([np.linspace(0, 1, depth) for depth in depths])
    values = 0.3 + 0.65 * np.exp(-2 * np.abs(np.subtract.outer(where, where)))
    if missing is not None:
        values[ends[missing] : ends[missing + 1]] = values[:, ends[missing] : ends[missing + 1]] = np.nan
    means = np.add.reduceat(np.add.reduceat(values, ends[:-1], axis=0), ends[:-1], axis=1) / np.outer(depths, depths)
    return tuple(f"{depth}l-s{i}" for i, depth in enumerate(depths)), values, means


def trend_panels(look: Look) -> list[SeriesPanel]:
    """A generated trend with a line and an odd member whose interval is lopsided, over two quantities."""
    x = np.linspace(5.5, 6.6, len(SHAPES))
    y = 0.45 + 0.2 * (x - 5.5)
    points = []
    for i, name in enumerate(SHAPES):
        odd = name == "4l128-h8"
        at, value = x[i : i + 1], y[i : i + 1] - (0.12 if odd else 0)
        ends = np.stack([value - 0.02, value + (0.14 if odd else 0.02)])
        color, symbol = (look.model_color("solu"), "diamond") if odd else (ramp(i / 5, look), "circle")
        points.append(Series(name, at, value, ends, (f"{name}<br>CKA {value[0]:.3f}",), color, symbol))
    line = Series("", x[[0, -1]], y[[0, -1]], symbol="", dash="dot", faint=True)
    sizes = {5.5: "320k", 6.0: "1M", 6.5: "3.2M"}
    return [
        SeriesPanel(
            "By size: rises, rank correlation +0.90, p .083", "parameters", "CKA within a model", (*points, line), sizes
        ),
        SeriesPanel(
            "By loss: undecided",
            "validation loss, nats a token",
            "CKA within a model",
            tuple(points),
            x_range=(6.8, 5.3),
        ),
    ]


def departure_panel(look: Look) -> SeriesPanel:
    """Generated departures of six shapes with their reach, one of them odd."""
    at, effect = np.arange(6.0), np.array([0.01, -0.02, 0.0, -0.11, 0.03, 0.01])
    parts = (
        ("as the family predicts", effect > -0.1, look.model_color("gelu"), "circle"),
        ("odd", effect < -0.1, look.model_color("solu"), "diamond"),
    )
    series = tuple(
        Series(name, at[own], effect[own], np.stack([effect[own] - 0.04, effect[own] + 0.04]), (), color, symbol)
        for name, own, color, symbol in parts
    )
    ticks = dict(zip(at.tolist(), SHAPES, strict=True))
    return SeriesPanel(
        "Odd: 4l128-h8 (\u22120.110, 2.7 times the reach)",
        "shape: layers, d_model, head",
        "departure, CKA",
        series,
        ticks,
        (-0.5, 5.5),
        True,
    )


def family_cases(look: Look) -> Iterator[tuple[str, go.Figure]]:
    """The figures of a family of models."""
    rows = [
        [
            block_map(8, ((0, 3), (3, 7), (7, 8))),
            block_map(8, ((0, 3), (3, 7), (7, 8)), relative=True),
            block_map(4, ()),
        ]
    ]
    between = [
        HeatmapPanel(f"{a} × {b}", "mini-neox-a", "mini-neox-b", a, b, matrix(a, b), relative=True)
        for a, b in ((4, 8), (6, 4))
    ]
    yield (
        "two rows, outlines, fractions of the depth",
        heatmap_grid([*rows, [*between, HeatmapPanel("nothing", "f", "g", 4, 6, relative=True)]], look, height=310),
    )
    yield "four in a row", heatmap_grid([[block_map(n, ((0, 2), (2, n))) for n in (6, 8, 4, 2)]], look, height=310)
    names, values, means = family((2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 6, 8))
    yield "a family", overview(names, means, look)
    yield (
        "a family, one member missing",
        overview(names, family((2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 6, 8), missing=4)[2], look),
    )
    yield "a family, nothing yet", overview(names, np.full_like(means, np.nan), look, state="computing")
    yield (
        "all layers",
        all_layers(names, (2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 6, 8), values, np.full_like(values, 0.01), look),
    )
    names, values, _ = family(PYTHIA_DEPTHS)
    yield "all layers, eight deep members", all_layers(names, PYTHIA_DEPTHS, values, np.full_like(values, 0.01), look)
    yield (
        "all layers, nothing yet",
        all_layers(names[:3], PYTHIA_DEPTHS[:3], np.full((42, 42), np.nan), np.full((42, 42), np.nan), look),
    )
    yield "trends", series_panels(trend_panels(look), look, 380)
    yield "departures", series_panels([departure_panel(look)], look, 380)
    yield (
        "no values",
        series_panels(
            [
                SeriesPanel("", "parameters", "CKA within a model", state="computing"),
                SeriesPanel("By loss", "loss", "CKA"),
            ],
            look,
            380,
        ),
    )


def cases(look: Look) -> Iterator[tuple[str, go.Figure]]:
    """(what it shows, figure) for every builder."""
    names = ("mini-solu-3l-s0", "mini-gelu-3l-s0")
    small = [
        HeatmapPanel(t, *names, 3, 3, matrix(3, 3, s)) for s, t in enumerate(("within GeLU", "within SoLU", "between"))
    ]
    hard = changed(
        matrix(3, 3), {(0, 0): -0.031, (2, 1): np.nan}, notes=("Layer 3 of f is constant, so that CKA is not defined.",)
    )
    pending = np.zeros((3, 3), bool)
    pending[1:, :] = True
    filling = changed(matrix(3, 3), {(i, j): np.nan for i in (1, 2) for j in range(3)})
    yield "heatmaps, 3 layers", heatmap_row(small, look)
    yield (
        "negative, no value, one row",
        heatmap_row(
            [
                HeatmapPanel("negative and no value", *names, 3, 3, hard),
                HeatmapPanel("one row", *names, 1, 5, matrix(1, 5)),
                small[2],
            ],
            look,
        ),
    )
    yield (
        "nothing yet, filling",
        heatmap_row(
            [
                HeatmapPanel("within GeLU", *names, 3, 3, None, state="computing"),
                HeatmapPanel("filling", *names, 3, 3, filling, pending),
                HeatmapPanel("between", *names, 4, 3),
            ],
            look,
        ),
    )
    yield (
        "deep",
        heatmap_row(
            [
                HeatmapPanel(f"{a} × {b}", "pythia-a", "pythia-b", a, b, matrix(a, b))
                for a, b in ((16, 16), (32, 16), (36, 36))
            ],
            look,
        ),
    )
    yield "penalty, one panel", heatmap_row([HeatmapPanel("penalty", *names, 4, 4, matrix(4, 4))], look, PENALTY_SCALE)
    a, b = matrix(3, 3, 4), matrix(3, 3, 5)
    apart = replace(
        a, values=b.values - a.values, interval=np.stack([b.values - a.values - 0.02, b.values - a.values + 0.02])
    )
    difference = HeatmapPanel("B − A", *names, 3, 3, apart, scale=DIFFERENCE_SCALE)
    yield (
        "difference",
        heatmap_row([HeatmapPanel("A", *names, 3, 3, a), HeatmapPanel("B", *names, 3, 3, b), difference], look),
    )
    yield "no numbers, range of the values", heatmap_grid([small], look, style=MapStyle(data_range=True, numbers=False))
    sample = np.random.default_rng(2).normal(0.6, 0.02, 100)
    yield (
        "values of the batches",
        value_strip(sample, (float(sample.mean()), 0.002, 0.596, 0.604), look, "CKA", "batch"),
    )
    yield "no values", value_strip(np.zeros(0), (np.nan,) * 4, look, "CKA", "batch")
    yield (
        "markup is text",
        heatmap_row([HeatmapPanel("<b>bold?</b>", "<i>row</i>", "<a href='x'>column</a>", 2, 2, matrix(2, 2))], look),
    )
    yield "stitching loss", layer_curves([curve_panel(3), curve_panel(4)], look)
    yield "one panel, layers missing", layer_curves([curve_panel(4, missing=2)], look)
    yield "no curve yet; deep with bands", layer_curves([CurvePanel("3-layer models", 3), curve_panel(24)], look)
    yield "learning curves", learning_curves(learning_panels(4), look)
    yield "learning curves, log", learning_curves(learning_panels(3), look, log_steps=True)
    yield from family_cases(look)


def page(look_names: tuple[str, ...] = ("page", "page_dark", "print", "presenting_dark")) -> str:
    """The whole gallery as one HTML page that needs nothing else."""
    parts = []
    for name in look_names:
        look = LOOKS[name]
        parts.append(
            f'<section id="{name}" '
            f'style="background:{look.background};color:{look.text};padding:24px;width:1120px"><h1>{name}</h1>'
        )
        for title, figure in cases(look):
            parts.append(f"<h3>{title}</h3>" + figure.to_html(full_html=False, include_plotlyjs=not parts[1:]))
        parts.append("</section>")
    return (
        f'<!doctype html><meta charset="utf-8"><style>{PAGE_CSS}</style><body '
        f'style="font-family:sans-serif;margin:0">{"".join(parts)}</body>'
    )


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery.html")
    target.write_text(page(), encoding="utf-8")
    print(f"wrote {target}")
