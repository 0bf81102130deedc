"""Every figure builder with easy and hard input, light and dark, on one HTML page: made to be looked at after a change.

    python -m repdiss_core.figures.gallery gallery.html

The arrays are drawn from a seeded generator; nothing here is a result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from repdiss_core.figures.layer_curve import CurvePanel, Reference, layer_curves
from repdiss_core.figures.layer_heatmap import PENALTY_SCALE, HeatmapPanel, heatmap_row
from repdiss_core.figures.learning_curve import LearningPanel, TrainingTrace, learning_curves
from repdiss_core.figures.theme import LOOKS, PAGE_CSS, Look
from repdiss_core.results import LayerCurve, LayerMatrix

PAPER_CURVES = (("SoLU → GeLU", "solu", "gelu", "stitch"), ("GeLU → SoLU", "gelu", "solu", "stitch"))
IDENTICAL = (("GeLU → GeLU, same model", "gelu", "gelu", "identical"), ("SoLU → SoLU, same model", "solu", "solu", "identical"))
CONTROLS = (("GeLU → GeLU, other seed", "gelu", "gelu", "control"), ("SoLU → SoLU, other seed", "solu", "solu", "control"))


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
    return LayerCurve(name, layer, values, np.full(values.shape, 0.009), interval, {"role": role, "kind_f": f, "kind_g": g})


def curve_panel(n_layers: int, missing: int = 0) -> CurvePanel:
    """Four curves, two controls, two reference lines."""
    levels = (3.72, 3.66, 3.36, 3.34, 3.70, 3.63)
    curves = tuple(curve(*spec, n_layers, level, missing) for spec, level in zip(PAPER_CURVES + IDENTICAL + CONTROLS, levels, strict=True))
    return CurvePanel(f"{n_layers}-layer models", n_layers, curves, (Reference("GeLU alone", 3.322, "gelu"), Reference("SoLU alone", 3.335, "solu")))


def learning_panels(n_layers: int) -> list[LearningPanel]:
    """Generated learning curves; the last layer has none yet."""
    rng, step = np.random.default_rng(1), np.arange(0, 2001, 20)
    panels = []
    for layer in range(1, n_layers + 1):
        traces = [
            TrainingTrace(
                name, step, level + 2.5 * np.exp(-step / 150) + 0.03 * rng.standard_normal(step.size), {"role": role, "kind_f": f, "kind_g": g}
            )
            for (name, f, g, role), level in zip(PAPER_CURVES + IDENTICAL, (3.75, 3.7, 3.4, 3.38), strict=True)
        ]
        panels.append(LearningPanel(f"layer {layer}", tuple(traces) if layer < n_layers else ()))
    return panels


def cases(look: Look) -> Iterator[tuple[str, go.Figure]]:
    """(what it shows, figure) for every builder."""
    names = ("mini-solu-3l-s0", "mini-gelu-3l-s0")
    small = [HeatmapPanel(t, *names, 3, 3, matrix(3, 3, s)) for s, t in enumerate(("within GeLU", "within SoLU", "between"))]
    hard = changed(matrix(3, 3), {(0, 0): -0.031, (2, 1): np.nan}, notes=("Layer 3 of f is constant, so that CKA is not defined.",))
    pending = np.zeros((3, 3), bool)
    pending[1:, :] = True
    filling = changed(matrix(3, 3), {(i, j): np.nan for i in (1, 2) for j in range(3)})
    yield "heatmaps, 3 layers", heatmap_row(small, look)
    yield (
        "negative, no value, one row",
        heatmap_row([HeatmapPanel("negative and no value", *names, 3, 3, hard), HeatmapPanel("one row", *names, 1, 5, matrix(1, 5)), small[2]], look),
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
        heatmap_row([HeatmapPanel(f"{a} × {b}", "pythia-a", "pythia-b", a, b, matrix(a, b)) for a, b in ((16, 16), (32, 16), (36, 36))], look),
    )
    yield "penalty, one panel", heatmap_row([HeatmapPanel("penalty", *names, 4, 4, matrix(4, 4))], look, PENALTY_SCALE)
    yield "markup is text", heatmap_row([HeatmapPanel("<b>bold?</b>", "<i>row</i>", "<a href='x'>column</a>", 2, 2, matrix(2, 2))], look)
    yield "stitching loss", layer_curves([curve_panel(3), curve_panel(4)], look)
    yield "one panel, layers missing", layer_curves([curve_panel(4, missing=2)], look)
    yield "no curve yet; deep with bands", layer_curves([CurvePanel("3-layer models", 3), curve_panel(24)], look)
    yield "learning curves", learning_curves(learning_panels(4), look)
    yield "learning curves, log", learning_curves(learning_panels(3), look, log_steps=True)


def page(look_names: tuple[str, ...] = ("page", "page_dark", "print", "presenting_dark")) -> str:
    """The whole gallery as one HTML page that needs nothing else."""
    parts = []
    for name in look_names:
        look = LOOKS[name]
        parts.append(f'<section id="{name}" style="background:{look.background};color:{look.text};padding:24px;width:1120px"><h1>{name}</h1>')
        for title, figure in cases(look):
            parts.append(f"<h3>{title}</h3>" + figure.to_html(full_html=False, include_plotlyjs=not parts[1:]))
        parts.append("</section>")
    return f'<!doctype html><meta charset="utf-8"><style>{PAGE_CSS}</style><body style="font-family:sans-serif;margin:0">{"".join(parts)}</body>'


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery.html")
    target.write_text(page(), encoding="utf-8")
    print(f"wrote {target}")
