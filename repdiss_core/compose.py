"""From what is stored to a drawn figure: the same for a page and for the command line.

`compose` loads a figure's part from the cache, draws it, and says in a caption what it rests on. It never computes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from repdiss_core import exports
from repdiss_core.cache import ResultStore
from repdiss_core.figures.caption import Caption
from repdiss_core.models import model_spec
from repdiss_core.panels import CurveView, LearningCurve, MatrixView, load_curve, load_learning, load_matrix
from repdiss_core.paper import FigurePart
from repdiss_core.presets import STITCH_PRESETS, Preset

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from repdiss_core.figures.theme import Look, Spec

ESTIMATOR_LABELS = {"unbiased": "unbiased CKA", "biased": "biased CKA", "sequence_aware": "sequence-aware CKA"}
REDUCTION_LABELS = {"mean_of_ratios": "mean of ratios", "ratio_of_means": "ratio of means"}
FLATTEN_LABELS = {"token": "tokens as rows", "sample": "sequences as rows"}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure with all that a card shows of it.

    Args:
        complete: whether everything that was asked for is in it.
        origin: "shipped", "local", "mixed" or None where nothing is stored.
        stored_at: seconds since the epoch of the newest piece.
        forms: its numbers as plain JSON types, for exports.
        notes: sentences on cells without a value.
    """

    figure: go.Figure
    caption: Caption
    complete: bool
    origin: str | None
    stored_at: float | None
    forms: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    matrices: tuple[MatrixView, ...] = field(default=())
    curves: tuple[CurveView, ...] = field(default=())

    @cached_property
    def spec(self) -> Spec:
        """The figure for the browser, made once."""
        from repdiss_core.figures.theme import spec_of

        return spec_of(self.figure)


def compose_heatmaps(
    store: ResultStore, part: FigurePart, look: Look, setting: Preset, reduction: str, n_batches: int,
    state: str = "not computed yet", height: int = 380,
) -> Drawn:  # fmt: skip
    """A row of CKA maps on one colour scale.

    Args:
        state: what a map without values says, such as "computing".
    """
    from repdiss_core.figures.layer_heatmap import HeatmapPanel, heatmap_row

    views = [load_matrix(store, panel, reduction, n_batches) for panel in part.panels]
    panels = [
        HeatmapPanel(
            v.panel.title, v.panel.row_name, v.panel.column_name,
            model_spec(v.panel.row_name).n_layers, model_spec(v.panel.column_name).n_layers, v.matrix, state=state,
        )
        for v in views
    ]  # fmt: skip
    comparison = part.panels[0].comparison
    least = min((v.n_batches for v in views), default=0)
    estimator = comparison.setting("estimator", "unbiased")
    caption = Caption(
        models=_names([n for v in views for n in (v.panel.row_name, v.panel.column_name)]),
        data=f"{comparison.data.name}, {comparison.data.split} split",
        amount=_amount(least, comparison.data.sequences_per_batch, comparison.data.tokens_per_sequence),
        estimator=", ".join((
            ESTIMATOR_LABELS[estimator], FLATTEN_LABELS[comparison.setting("flatten", "token")], REDUCTION_LABELS[reduction],
            f"{comparison.hook}, each token's mean over d_model {comparison.resid_mean}",
        )),
        interval="95 % jackknife-t interval over batches" if least > 1 else "",
        departures=setting.departures,
    )  # fmt: skip
    notes = tuple(dict.fromkeys(note for v in views if v.matrix for note in v.matrix.notes))
    return Drawn(
        heatmap_row(panels, look, height=height), caption, all(v.complete for v in views), _origin([v.origin for v in views]),
        _newest([v.stored_at for v in views]), [exports.matrix_form(v) for v in views], notes, matrices=tuple(views),
    )  # fmt: skip


def compose_curves(
    store: ResultStore, parts: tuple[FigurePart, ...], look: Look, setting: Preset, quantity: str = "loss",
    state: str = "not computed yet", height: int = 420,
) -> Drawn:  # fmt: skip
    """Loss or penalty by layer, a panel for each part (depth), with each model's own loss as a line."""
    from repdiss_core.figures.layer_curve import CurvePanel, Reference, layer_curves
    from repdiss_core.studies.common import kind

    views = [[load_curve(store, spec, quantity) for spec in part.curves] for part in parts]
    panels = []
    for part, loaded in zip(parts, views, strict=True):
        own = {n: loss for v in loaded if v.spec.role != "control" for n, loss in v.own_losses.items()} if quantity == "loss" else {}
        curves = tuple(v.curve for v in loaded if v.curve is not None)
        depth = max(len(spec.comparisons) for spec in part.curves)
        references = tuple(Reference(f"{name} alone", loss, kind(name)) for name, loss in own.items())
        panels.append(CurvePanel(part.title, depth, curves, references, state))
    flat = [v for loaded in views for v in loaded]
    return Drawn(
        layer_curves(panels, look, quantity, height=height), _stitch_caption(flat, setting), all(v.complete for v in flat),
        _origin([v.origin for v in flat]), _newest([v.stored_at for v in flat]), [exports.curve_form(v) for v in flat], curves=tuple(flat),
    )  # fmt: skip


def compose_learning(
    store: ResultStore, part: FigurePart, look: Look, setting: Preset, log_steps: bool = False,
    state: str = "not computed yet", height: int = 340,
) -> Drawn:  # fmt: skip
    """The learning curve of each phi of one depth, a panel a layer."""
    from repdiss_core.figures.learning_curve import LearningPanel, TrainingTrace, learning_curves

    depth = max(len(spec.comparisons) for spec in part.curves)
    by_layer: dict[int, list[LearningCurve]] = {layer: [] for layer in range(1, depth + 1)}
    for spec in part.curves:
        for curve in load_learning(store, spec):
            by_layer.setdefault(curve.layer, []).append(curve)
    panels = [
        LearningPanel(
            f"layer {layer}",
            tuple(TrainingTrace(c.name, c.step, c.train_loss, {"role": c.role, "kind_f": c.kind_f, "kind_g": c.kind_g}) for c in curves),
            state,
        )
        for layer, curves in by_layer.items()
    ]
    views = [load_curve(store, spec) for spec in part.curves]
    curves = [c for found in by_layer.values() for c in found]
    return Drawn(
        learning_curves(panels, look, log_steps, height=height), _stitch_caption(views, setting), all(v.complete for v in views),
        _origin([v.origin for v in views]), _newest([v.stored_at for v in views]), [exports.learning_form(c) for c in curves], curves=tuple(views),
    )  # fmt: skip


def compose(
    store: ResultStore, kind: str, parts: tuple[FigurePart, ...], look: Look, setting: Preset, *,
    reduction: str = "mean_of_ratios", n_batches: int = 100, quantity: str = "loss", state: str = "not computed yet",
) -> list[Drawn]:  # fmt: skip
    """All cards of a figure, by its kind in `repdiss_core.paper.FIGURES`."""
    if kind == "heatmaps":
        return [compose_heatmaps(store, part, look, setting, reduction, n_batches, state) for part in parts]
    if kind == "curves":
        return [compose_curves(store, parts, look, setting, quantity, state)]
    return [compose_learning(store, part, look, setting, state=state) for part in parts]


def _stitch_caption(views: list[CurveView], setting: Preset) -> Caption:
    first = views[0].spec.comparisons[0]
    eval_batches = int(first.setting("eval_batches", 0))
    ways = [p for p in STITCH_PRESETS.values() if all(first.setting(n) == v for n, v in asdict(p.settings).items())]
    identity = first.measure == "identity_stitching"
    estimator = "identity stitching (phi = id)" if identity else f"phi = LayerNorm + affine, {ways[0].label if ways else 'own settings'}"
    return Caption(
        models=_names([n for v in views for n in (v.spec.comparisons[0].f.name, v.spec.comparisons[0].g.name)]),
        data=f"{first.data.name}: evaluated on the {first.data.split} split" + ("" if identity else f", phi trained on the {first.setting('phi_split')} split"),
        amount=_amount(eval_batches, first.data.sequences_per_batch, first.data.tokens_per_sequence),
        estimator=estimator,
        interval="95 % t interval over evaluation sequences",
        departures=((ways[0].note,) if ways and not identity else ()) + setting.departures[:2],
    )


def _names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names)) + " (small models trained by us)"


def _amount(n_batches: int, sequences: int, tokens: int) -> str:
    thin = "\u2009"
    total = f"{n_batches * sequences * tokens:,}".replace(",", thin)
    return f"{n_batches} batches × {sequences} sequences × {tokens} tokens = {total} tokens" if n_batches else ""


def _origin(origins: list[str | None]) -> str | None:
    known = {o for o in origins if o is not None}
    return None if not known else known.pop() if len(known) == 1 else "mixed"


def _newest(times: list[float | None]) -> float | None:
    return max((t for t in times if t is not None), default=None)
