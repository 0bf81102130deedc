"""From what is stored to a drawn figure: the same for a page and for the command line.

A `compose_…` loads a figure's parts from the cache, draws them, and says in a caption what they rest on. It never
computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from repdiss_core.base.comparison import Comparison, DataId
from repdiss_core.base.option import Option
from repdiss_core.measures import MeasureSpec, spec_of
from repdiss_core.models import model_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import origin_and_time
from repdiss_core.studies import options
from repdiss_core.studies.caption import Caption
from repdiss_core.studies.chance_level import caption_words, hover_texts
from repdiss_core.studies.common import kind, n_rows, phi_words, stitch_preset_of
from repdiss_core.studies.panels import (
    CurveView,
    FigurePart,
    LearningCurve,
    MatrixPanel,
    MatrixView,
    load_curve,
    load_learning,
    load_matrix,
    reduction_of,
)
from repdiss_core.studies.presets import Preset
from repdiss_core.studies.rows import rows_words, unit_of
from repdiss_core.studies.tables import Table, curve_table, map_table, trace_table

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from repdiss_core.plots.map_scale import MapStyle, Scale
    from repdiss_core.plots.theme import Look, Spec

Blocks = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure with all that a card shows of it.

    Args:
        complete: whether everything that was asked for is in it.
        origin: "shipped", "local", "mixed" or None where nothing is stored.
        stored_at: seconds since the epoch of the newest piece.
        tables: its numbers, a table for each panel or curve.
        notes: sentences on cells without a value.
    """

    figure: go.Figure
    caption: Caption
    complete: bool
    origin: str | None
    stored_at: float | None
    tables: list[Table]
    notes: tuple[str, ...] = ()
    matrices: tuple[MatrixView, ...] = field(default=())
    curves: tuple[CurveView, ...] = field(default=())

    @cached_property
    def spec(self) -> Spec:
        """The figure for the browser, made once."""
        from repdiss_core.plots.theme import spec_of

        return spec_of(self.figure)


def compose_heatmaps(
    store: ResultStore, part: FigurePart, look: Look, setting: Preset, reduction: str, n_batches: int,
    state: str = "not computed yet", height: int = 380, relative: bool = False, style: MapStyle | None = None,
) -> Drawn:  # fmt: skip
    """A row of CKA maps on one colour scale; `compose_grid` of one row."""
    return compose_grid(
        store, (part,), look, setting, reduction, n_batches, state, height, relative=relative, style=style
    )


def compose_grid(
    store: ResultStore,
    rows: tuple[FigurePart, ...],
    look: Look,
    setting: Preset,
    reduction: str,
    n_batches: int,
    state: str = "not computed yet",
    height: int = 380,
    blocks_of: Callable[[MatrixView], Blocks] = lambda view: (),
    relative: bool = False,
    style: MapStyle | None = None,
) -> Drawn:
    """Rows of CKA maps on one colour scale.

    Args:
        rows: a part a row.
        state: what a map without values says, such as "computing".
        height: of a row, in pixels.
        blocks_of: the blocks that a map within a model outlines.
        relative: whether axes run over the fraction of the depth.
        style: range of the colours, and whether values stand in the cells.
    """
    from repdiss_core.plots.layer_heatmap import heatmap_grid
    from repdiss_core.plots.map_scale import USUAL_STYLE

    loaded = [[load_matrix(store, panel, reduction, n_batches) for panel in part.panels] for part in rows]
    views = [view for row in loaded for view in row]
    panels = [[_panel(view, state, blocks_of, relative) for view in row] for row in loaded]
    notes = tuple(dict.fromkeys(note for v in views if v.matrix for note in v.matrix.notes))
    return Drawn(
        heatmap_grid(panels, look, _scale(views[0].panel), height, style or USUAL_STYLE),
        _map_caption(views, setting, reduction),
        all(v.complete for v in views),
        *origin_and_time(views),
        [map_table(v) for v in views],
        notes,
        matrices=tuple(views),
    )


def _panel(view: MatrixView, state: str, blocks_of: Callable[[MatrixView], Blocks], relative: bool) -> Any:
    from repdiss_core.plots.layer_heatmap import HeatmapPanel

    f, g = view.panel.row_name, view.panel.column_name
    outlines = blocks_of(view) if f == g and view.matrix is not None else ()
    return HeatmapPanel(
        view.panel.title,
        f,
        g,
        n_rows(view.panel.comparison, f),
        n_rows(view.panel.comparison, g),
        view.matrix,
        state=state,
        outlines=outlines,
        relative=relative,
        beside=None if view.chance is None else hover_texts(view.chance),
    )


def _map_caption(views: list[MatrixView], setting: Preset, reduction: str) -> Caption:
    comparison = views[0].panel.comparison
    least = min(v.n_batches for v in views)
    return Caption(
        models=model_names([n for v in views for n in (v.panel.row_name, v.panel.column_name)]),
        data=f"{comparison.data.name}, {comparison.data.split} split",
        amount=amount_of(comparison.data, least),
        estimator=how_measured(comparison, reduction),
        interval="95 % jackknife-t interval over batches" if least > 1 else "",
        chance=caption_words(views),
        departures=setting.departures,
        deciding=" ".join(dict.fromkeys(v.deciding for v in views if v.deciding)),
    )


def how_measured(comparison: Comparison, reduction: str) -> str:
    """How features were read and compared, for a caption."""
    massive = {"kept": "", "normalised": "rows scaled to length 1"}.get(comparison.setting("massive", "kept"))
    if massive is None:
        massive = f"without tokens longer than {comparison.setting('massive_multiple'):g} times the median"
    spec = spec_of(comparison)
    reducer, name = reduction_of(comparison, reduction)
    words = (
        spec.words(comparison),
        rows_words(comparison) or _label(options.FLATTEN, comparison),
        massive,
        options.REDUCTION.labels.get(name) or reducer.names[name],
        f"{comparison.hook}, each token's mean over d_model {comparison.resid_mean}",
        "" if comparison.dtype == "float32" else f"forward pass in {comparison.dtype}",
    )
    return ", ".join(word for word in words if word)


def scale_of(comparison: Comparison) -> Scale:
    """How a measure's values become colours: from 0 to its highest value;
    below 0 in grey where that means less than nothing."""
    from repdiss_core.plots.map_scale import Scale

    spec = spec_of(comparison)
    lowest, highest = spec.range
    upper = highest if math.isfinite(highest) else None
    if upper is None:
        return Scale(_titled(spec), None, None, None, 3)
    return Scale(_titled(spec), 0.0, upper, 0.0 if lowest < 0 else None, 2)


def _scale(panel: MatrixPanel) -> Scale:
    """The scale of a panel's values: of the measure, or of what is left above its chance level."""
    scale = scale_of(panel.comparison)
    return replace(scale, title=f"{scale.title} above chance", grey_below=None) if panel.corrected else scale


def _titled(spec: MeasureSpec) -> str:
    return f"{spec.short} ({spec.unit})" if spec.unit else spec.short


def _label(option: Option, comparison: Comparison) -> str:
    return option.label_of(comparison.setting(option.id, option.default))


def compose_curves(
    store: ResultStore, parts: tuple[FigurePart, ...], look: Look, setting: Preset, quantity: str = "loss",
    state: str = "not computed yet", height: int = 420,
) -> Drawn:  # fmt: skip
    """Loss or penalty by layer, a panel for each part (depth), with each model's own loss as a line."""
    from repdiss_core.plots.layer_curve import CurvePanel, Reference, layer_curves

    views = [[load_curve(store, spec, quantity) for spec in part.curves] for part in parts]
    panels = []
    for part, loaded in zip(parts, views, strict=True):
        own = (
            {n: loss for v in loaded if v.spec.role != "control" for n, loss in v.own_losses.items()}
            if quantity == "loss"
            else {}
        )
        curves = tuple(v.curve for v in loaded if v.curve is not None)
        depth = max(len(spec.comparisons) for spec in part.curves)
        references = tuple(Reference(f"{name} alone", loss, kind(name)) for name, loss in own.items())
        panels.append(CurvePanel(part.title, depth, curves, references, state))
    flat = [v for loaded in views for v in loaded]
    return Drawn(
        layer_curves(panels, look, quantity, height=height),
        _stitch_caption(flat, setting),
        all(v.complete for v in flat),
        *origin_and_time(flat),
        [curve_table(v) for v in flat],
        curves=tuple(flat),
    )


def compose_learning(
    store: ResultStore, part: FigurePart, look: Look, setting: Preset, log_steps: bool = False,
    state: str = "not computed yet", height: int = 340,
) -> Drawn:  # fmt: skip
    """The learning curve of each phi of one depth, a panel a layer."""
    from repdiss_core.plots.learning_curve import LearningPanel, TrainingTrace, learning_curves

    depth = max(len(spec.comparisons) for spec in part.curves)
    by_layer: dict[int, list[LearningCurve]] = {layer: [] for layer in range(1, depth + 1)}
    for spec in part.curves:
        for curve in load_learning(store, spec):
            by_layer.setdefault(curve.layer, []).append(curve)
    panels = [
        LearningPanel(
            f"layer {layer}",
            tuple(
                TrainingTrace(c.name, c.step, c.train_loss, {"role": c.role, "kind_f": c.kind_f, "kind_g": c.kind_g})
                for c in curves
            ),
            state,
        )
        for layer, curves in by_layer.items()
    ]
    views = [load_curve(store, spec) for spec in part.curves]
    curves = [curve for of_layer in by_layer.values() for curve in of_layer]
    return Drawn(
        learning_curves(panels, look, log_steps, height=height),
        _stitch_caption(views, setting),
        all(v.complete for v in views),
        *origin_and_time(views),
        [trace_table(c) for c in curves],
        curves=tuple(views),
    )


def _stitch_caption(views: list[CurveView], setting: Preset) -> Caption:
    first = views[0].spec.comparisons[0]
    eval_batches = int(first.setting("eval_batches", 0))
    preset = stitch_preset_of(first)
    identity = first.measure == "identity_stitching"
    return Caption(
        models=model_names([n for v in views for n in (v.spec.comparisons[0].f.name, v.spec.comparisons[0].g.name)]),
        data=f"{first.data.name}: evaluated on the {first.data.split} split"
        + ("" if identity else f", phi trained on the {first.setting('phi_split')} split"),
        amount=amount(eval_batches, first.data.sequences_per_batch, first.data.tokens_per_sequence),
        estimator="identity stitching (phi = id)" if identity else phi_words(first),
        interval="95 % t interval over evaluation sequences",
        departures=((preset.note,) if preset and not identity else ()) + setting.departures[:2],
    )


def model_names(names: Iterable[str]) -> str:
    """Models for a caption, once each."""
    once = list(dict.fromkeys(names))
    ours = all(model_spec(name).source == "bundled" for name in once)
    return ", ".join(once) + (" (small models trained by us)" if ours else "")


def amount(n_batches: int, sequences: int, tokens: int, unit: str = "tokens") -> str:
    """How much data, for a caption; empty for none.

    Args:
        unit: what the rows are; of "texts", `tokens` is the most words that are read of each.
    """
    thin = "\u2009"
    if not n_batches:
        return ""
    if unit == "texts":
        total = f"{n_batches * sequences:,}".replace(",", thin)
        return f"{n_batches} batches × {sequences} texts of at most {tokens} words = {total} texts"
    total = f"{n_batches * sequences * tokens:,}".replace(",", thin)
    return f"{n_batches} batches × {sequences} sequences × {tokens} {unit} = {total} {unit}"


def amount_of(data: DataId, n_batches: int) -> str:
    """How much data a map rests on, in the unit of its rows."""
    return amount(n_batches, data.sequences_per_batch, data.tokens_per_sequence, unit_of(data))
