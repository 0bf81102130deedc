"""CKA of the layers that carry the same number, as a curve: the diagonal of a map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from repdiss_core.base.results import LayerCurve
from repdiss_core.measures import spec_of
from repdiss_core.measures.spec import first_layer
from repdiss_core.models import model_spec
from repdiss_core.plots.layer_curve import CurvePanel, layer_curves
from repdiss_core.plots.theme import Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.common import CkaView, kind
from repdiss_core.studies.drawn import Drawn, compose_heatmaps
from repdiss_core.studies.panels import FigurePart, MatrixPanel
from repdiss_core.studies.presets import Preset
from repdiss_core.studies.tables import Table


def compose_cka_by_layer(
    store: ResultStore, panel: MatrixPanel, look: Look, setting: Preset, view: CkaView, state: str, height: int
) -> Drawn:
    """The diagonal of the panel's map from layer 1 on, with its intervals, and everything else as for the map."""
    drawn = compose_heatmaps(
        store, FigurePart("", panels=(panel,)), look, setting, view.reduction, view.n_batches, state
    )
    depth = min(model_spec(panel.row_name).n_layers, model_spec(panel.column_name).n_layers)
    matrix = drawn.matrices[0].matrix
    curves: tuple[LayerCurve, ...] = ()
    if matrix is not None:
        at = np.arange(depth) + 1 - first_layer(panel.comparison)
        style = {"role": "stitch", "kind_f": kind(panel.row_name), "kind_g": kind(panel.column_name)}
        name = f"{panel.row_name} and {panel.column_name}"
        curves = (
            LayerCurve(
                name,
                np.arange(depth) + 1,
                matrix.values[at, at],
                matrix.standard_error[at, at],
                matrix.interval[:, at, at],
                style,
            ),
        )
    chance = drawn.tables[0].chance
    if matrix is not None and chance is not None:
        level = chance.diagonal(depth).chance.level
        none = np.full(depth, np.nan)
        style = {"role": "control"}
        curves += (LayerCurve("chance level (95 %)", at + 1, level, none, np.stack([none, none]), style),)
    spec = spec_of(panel.comparison)
    bounded = spec.range[1] == 1.0
    figure = layer_curves([CurvePanel("", depth, curves, state=state)], look, spec.short, height, bounded)
    return replace(drawn, figure=figure, tables=[_diagonal(drawn.tables[0], depth, 1 - first_layer(panel.comparison))])


def _diagonal(table: Table, depth: int, begin: int) -> Table:
    """`depth` cells of a map's diagonal, as a curve; `begin` is the index of the first."""
    if table.values is None:
        return replace(table, kind="curve")
    at = np.arange(depth) + begin
    members = () if table.chance is None else (table.chance.diagonal(depth, begin),)
    return replace(
        table,
        kind="curve",
        members=members,
        row_labels=table.row_labels[begin : begin + depth],
        column_labels=table.column_labels[begin : begin + depth],
        values=table.values[at, at],
        standard_error=None if table.standard_error is None else table.standard_error[at, at],
        interval=None if table.interval is None else table.interval[:, at, at],
    )
