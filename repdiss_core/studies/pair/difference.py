"""B − A: two results of the same shape on one scale, and their difference with its interval.

Reads the cache, never computes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repdiss_core.base.comparison import DataId, Request
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import LayerMatrix, StitchResult
from repdiss_core.measures import measure_spec, spec_of
from repdiss_core.measures.reduction import t_quantile
from repdiss_core.models import model_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import origin_and_time
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.common import n_rows
from repdiss_core.studies.drawn import Drawn, amount_of, how_measured, scale_of
from repdiss_core.studies.figure import Figure, FigureCard, FigureChoice
from repdiss_core.studies.pair.question import Pair, pair_panels
from repdiss_core.studies.pair.stitch_map import load_map, pair_maps, stitch_table
from repdiss_core.studies.panels import MatrixPanel, load_batches, load_matrix, load_stitch, reduction_of, request_for
from repdiss_core.studies.reading import LINK
from repdiss_core.studies.tables import Sample, Table, map_table

if TYPE_CHECKING:
    from repdiss_core.plots.map_scale import MapStyle, Scale
    from repdiss_core.plots.theme import Look

EMPTY = "not computed yet"
HOW_DIFFERENCES_READ = (
    "A and B share one scale. The third map is B minus A: orange where B is higher, purple where it is lower, "
    "pale where they agree. "
    "Where both rest on the same batches, the interval is that of the paired difference: "
    "what a batch does to both goes out. Point at a cell for it."
)


@dataclass(frozen=True, eq=False)
class Measured:
    """One side of a difference.

    Args:
        quantity: "CKA" or another measure of features, "loss" or "penalty".
        scale: how its values become colours; None for losses and penalties, which have scales of their own.
        f, g, depth_f, depth_g: models of rows and columns, and their layers.
        matrix: the values; None where nothing is stored.
        sample: (n, L_f, L_g) values of each batch or sequence; None where nothing is stored.
        unit: "batch" or "sequence".
        data: the stream that the sample runs over.
        how: estimator and reduction in words.
        table: the map.
        complete, origin, stored_at: as of a `Drawn`.
        deciding: as of a `MatrixView`.
    """

    quantity: str
    f: str
    g: str
    depth_f: int
    depth_g: int
    matrix: LayerMatrix | None
    sample: np.ndarray | None
    unit: str
    data: DataId
    how: str
    table: Table
    complete: bool
    origin: str | None
    stored_at: float | None
    scale: Scale | None = None
    deciding: str = ""


def measured_map(store: ResultStore, panel: MatrixPanel, reduction: str, n_batches: int) -> Measured:
    """A map of features with the values of its batches."""
    view = load_matrix(store, panel, reduction, n_batches)
    batches, _ = load_batches(store, panel.comparison, n_batches)
    sample = None
    if view.matrix is not None and batches is not None:
        reducer, reduction = reduction_of(panel.comparison, reduction)
        sample = reducer.pseudo_values(batches.first(n_batches), reduction)
        sample = sample.transpose(0, 2, 1) if panel.swapped else sample
    return Measured(
        spec_of(panel.comparison).short,
        panel.row_name,
        panel.column_name,
        n_rows(panel.comparison, panel.row_name),
        n_rows(panel.comparison, panel.column_name),
        view.matrix,
        sample,
        "batch",
        panel.comparison.data,
        how_measured(panel.comparison, reduction),
        map_table(view),
        view.complete,
        view.origin,
        view.stored_at,
        scale_of(panel.comparison),
        view.deciding,
    )


def is_paired(a: Measured, b: Measured) -> bool:
    """Whether both rest on the same batches or sequences, so that their noise is shared and goes out of the
    difference."""
    return (
        a.sample is not None
        and b.sample is not None
        and (a.unit, a.data, len(a.sample)) == (b.unit, b.data, len(b.sample))
    )


def difference(a: Measured, b: Measured) -> LayerMatrix | None:
    """B − A, cell by cell, with a 95 % t interval: over paired batches (or sequences) where both have the same, else
    from both standard errors.

    Unpaired, the standard error is sqrt(se_A² + se_B²) and the t quantile that of the smaller sample, which is
    conservative.

    Raises:
        UserError: different quantities, or maps of different shapes.
    """
    if a.quantity != b.quantity:
        raise UserError(
            f"A shows {a.quantity} and B {b.quantity}, which cannot be subtracted. Choose the same measure for both."
        )
    if (a.depth_f, a.depth_g) != (b.depth_f, b.depth_g):
        raise UserError(
            f"A has {a.depth_f} × {a.depth_g} layers and B {b.depth_f} × {b.depth_g}, "
            "which cannot be subtracted cell by cell. "
            "Choose models of the same depths for both."
        )
    if a.matrix is None or b.matrix is None or a.sample is None or b.sample is None:
        return None
    values = b.matrix.values - a.matrix.values
    n = min(len(a.sample), len(b.sample))
    if is_paired(a, b) and n > 1:
        error = (b.sample - a.sample).std(axis=0, ddof=1) / np.sqrt(n)
    else:
        error = np.sqrt(a.matrix.standard_error**2 + b.matrix.standard_error**2)
    half = t_quantile(0.975, n - 1) * error if n > 1 else np.full_like(error, np.nan)
    return LayerMatrix(
        values, error, np.stack([values - half, values + half]), n, a.matrix.row_labels, a.matrix.column_labels
    )


def compose_difference(
    a: Measured, b: Measured, look: Look, style: MapStyle, relative: bool, state: str = EMPTY, height: int = 370
) -> Drawn:
    """A, B and B − A in a row, the difference on a diverging scale centred on 0."""
    from repdiss_core.plots.layer_heatmap import (
        CKA_SCALE,
        DIFFERENCE_SCALE,
        LOSS_SCALE,
        PENALTY_SCALE,
        HeatmapPanel,
        heatmap_grid,
    )

    change = difference(a, b)
    scale = a.scale or {"loss": LOSS_SCALE, "penalty": PENALTY_SCALE}.get(a.quantity, CKA_SCALE)
    panels = [
        HeatmapPanel(name, side.f, side.g, side.depth_f, side.depth_g, side.matrix, state=state, relative=relative)
        for name, side in (("A", a), ("B", b))
    ]
    rows, columns = _sides(a, b)
    own = replace(DIFFERENCE_SCALE, unit=a.unit)
    panels.append(
        HeatmapPanel("B − A", rows, columns, a.depth_f, a.depth_g, change, state=state, relative=relative, scale=own)
    )
    tables = [replace(a.table, title="A"), replace(b.table, title="B"), difference_table(a, b, change)]
    return Drawn(
        heatmap_grid([panels], look, scale, height, style),
        _caption(a, b),
        a.complete and b.complete,
        *origin_and_time((a, b)),
        tables,
    )


def _sides(a: Measured, b: Measured) -> tuple[str, str]:
    """The models of rows and of columns: one name where both results have the same."""
    rows, columns = (first if first == second else f"{first} | {second}" for first, second in ((a.f, b.f), (a.g, b.g)))
    return rows, columns


@dataclass(frozen=True)
class Pairing:
    """Whether both sides of a difference rest on the same batches or sequences."""

    paired: bool

    def to_dict(self) -> dict[str, Any]:
        """paired."""
        return {"paired": self.paired}


def difference_table(a: Measured, b: Measured, matrix: LayerMatrix | None) -> Table:
    """B − A as a table; its provenance names what A and B rest on."""
    f, g = _sides(a, b)
    head: dict[str, Any] = {"title": "B − A", "quantity": f"B − A of {a.quantity}", "f": f, "g": g}
    if matrix is None:
        return Table(kind="map", **head)
    sides = {"A": a.table.to_dict(), "B": b.table.to_dict()}
    return Table(
        kind="map",
        **head,
        row_labels=tuple(matrix.row_labels),
        column_labels=tuple(matrix.column_labels),
        values=matrix.values,
        standard_error=matrix.standard_error,
        interval=matrix.interval,
        sample=Sample("batch" if a.unit == "batch" else "sequence", matrix.n_batches),
        provenance={
            name: {fact: side.get(fact) for fact in ("comparison", "reduction", "provenance")}
            for name, side in sides.items()
        },
        members=(Pairing(is_paired(a, b)),),
    )


def _caption(a: Measured, b: Measured) -> Caption:
    units = "batches" if a.unit == "batch" else "sequences"
    data = list(dict.fromkeys(f"{side.data.name}, {side.data.split} split" for side in (a, b)))
    paired = (
        f"95 % t interval of the difference over the same {units} in both"
        if is_paired(a, b)
        else "95 % interval of the difference, A and B unpaired"
    )
    most = max((len(side.sample) for side in (a, b) if side.sample is not None and side.unit == "batch"), default=0)
    return Caption(
        models=f"A: {a.f} × {a.g}; B: {b.f} × {b.g}",
        data="; ".join(data),
        amount=amount_of(a.data, most),
        estimator="; ".join(dict.fromkeys((a.how, b.how))),
        interval=paired if a.matrix is not None and b.matrix is not None else "",
        deciding=" ".join(dict.fromkeys(one.deciding for one in (a, b) if one.deciding)),
    )


def measured(store: ResultStore, choice: Pair) -> Measured:
    """The map between the two models of a choice, with its sample."""
    depths = model_spec(choice.f).n_layers, model_spec(choice.g).n_layers
    if measure_spec(choice.measure).of_features:
        panel = pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1].measured
        return measured_map(store, panel, choice.view.reduction, choice.view.n_batches)
    stitches = pair_maps(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)[-1]
    matrix, entries = load_map(store, stitches, choice.quantity)
    whole = bool(np.isfinite(matrix.values).all())
    sample = None
    if whole:
        results = [[load_stitch(store, c)[0] for c in row] for row in stitches.comparisons]
        sample = np.array([[_costs(r, choice.quantity) for r in row] for row in results]).transpose(2, 0, 1)
    return Measured(
        choice.quantity,
        choice.f,
        choice.g,
        *depths,
        matrix if entries else None,
        sample,
        "sequence",
        stitches.comparisons[0][0].data,
        choice.measure.replace("_", " "),
        stitch_table(stitches, matrix, choice.quantity),
        whole,
        *origin_and_time(entries),
    )


def _request(a: Pair, b: Pair) -> Request:
    comparisons = []
    for choice in (a, b):
        if measure_spec(choice.measure).of_features:
            comparisons.append(pair_panels(choice.f, choice.g, choice.view, choice.setting)[-1].comparison)
        else:
            comparisons += [
                c
                for row in pair_maps(choice.f, choice.g, choice.setting, choice.stitch, choice.measure)[-1].comparisons
                for c in row
            ]
    return request_for(comparisons, max(a.view.n_batches, b.view.n_batches))


def _cards(figure: Figure, choice: FigureChoice) -> tuple[FigureCard, ...]:
    """A, B and B − A, drawn as the page's own lists say; none where those alone are chosen."""
    if len(choice.params) != 3:
        return ()
    listed, a, b = choice.params

    def draw(store: ResultStore, look: Look, state: str) -> Drawn:
        return compose_difference(measured(store, a), measured(store, b), look, listed.style, listed.relative, state)

    return (figure.card(choice, request=_request(a, b), draw=draw, shows=(a, b, listed.style, listed.relative)),)


DIFFERENCE = Figure(
    "difference",
    "pair",
    "Two results and their difference",
    explain=HOW_DIFFERENCES_READ,
    link=LINK,
    split=_cards,
    needs_models=True,
)


def _costs(result: StitchResult | None, quantity: str) -> np.ndarray:
    """(n_sequences,) loss or penalty of one stitch of a map that is stored whole."""
    assert result is not None
    return result.penalty if quantity == "penalty" else result.loss
