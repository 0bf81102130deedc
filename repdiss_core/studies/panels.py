"""What a figure is made of, and how its pieces are read from the cache.

A panel says which comparison it shows; loading it never computes. What is missing is asked of `repdiss_core.runs.jobs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from repdiss_core.analysis.chance import Chance, chance_level, corrected_matrix, crossed_windows, least_batches
from repdiss_core.base.comparison import Comparison, Request
from repdiss_core.base.results import BatchHsic, LayerCurve, LayerMatrix, StitchResult, layer_labels
from repdiss_core.measures import result_type, spec_of
from repdiss_core.measures.reduction import Reduction, mean_interval
from repdiss_core.measures.spec import counted_from, first_layer
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry
from repdiss_core.studies.deciding_rows import deciding_rows
from repdiss_core.studies.rows import left_out


@dataclass(frozen=True)
class MatrixPanel:
    """One heatmap: rows are layers of `row_name`, columns layers of `column_name`.

    Args:
        swapped: the canonical comparison stands the other way round, so that its values are transposed.
        chance: what its chance level rests on, with the same models, data and settings; None where none is asked for.
        corrected: whether chance-corrected values are shown in place of the measure's.
    """

    title: str
    comparison: Comparison
    swapped: bool
    row_name: str
    column_name: str
    chance: Comparison | None = None
    corrected: bool = False

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """What has to be computed for it."""
        return (self.comparison,) if self.chance is None else (self.comparison, self.chance)

    @property
    def measured(self) -> MatrixPanel:
        """The panel without its chance level."""
        return replace(self, chance=None, corrected=False)


@dataclass(frozen=True)
class CurveSpec:
    """One curve over layers: a stitch at each layer.

    Args:
        name: label such as "solu → gelu".
        comparisons: one stitch a layer, in the order of the layers.
        role: "stitch" (the paper's), "identical" (its baselines) or "control" (same activation, other seed).
        kind_f, kind_g: activation functions of the bottom and the top model.
    """

    name: str
    comparisons: tuple[Comparison, ...]
    role: str
    kind_f: str
    kind_g: str


@dataclass(frozen=True)
class FigurePart:
    """One panel group of a figure: heatmaps, the curves of one depth, or the pairs of a population."""

    title: str
    panels: tuple[MatrixPanel, ...] = ()
    curves: tuple[CurveSpec, ...] = ()
    pairs: tuple[Comparison, ...] = ()

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Everything that this part needs computed."""
        return (
            tuple(c for p in self.panels for c in p.comparisons)
            + tuple(c for curve in self.curves for c in curve.comparisons)
            + self.pairs
        )


@dataclass(frozen=True, eq=False)
class MatrixView:
    """A heatmap as far as it is known.

    Args:
        matrix: None where nothing is stored yet.
        n_batches, wanted: batches behind the matrix, and asked for.
        origin: "shipped", "imported", "local" or None.
        stored_at: seconds since the epoch.
        deciding: a sentence where a handful of tokens decides the map.
        chance: the chance level, where one is asked for and enough batches are stored.
    """

    panel: MatrixPanel
    matrix: LayerMatrix | None
    n_batches: int
    wanted: int
    origin: str | None
    stored_at: float | None
    deciding: str = ""
    chance: Chance | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the map: why cells have no value, and whether a handful of tokens decides it."""
        notes = self.matrix.notes if self.matrix is not None else ()
        return (*notes, self.deciding) if self.deciding else notes

    @property
    def complete(self) -> bool:
        """Whether all batches that were asked for are there."""
        with_level = self.panel.chance is None or (self.chance is not None and self.chance.n_batches >= self.wanted)
        return self.n_batches >= self.wanted and with_level


@dataclass(frozen=True, eq=False)
class CurveView:
    """A curve as far as it is known; `missing` names the layers of f that have no value yet."""

    spec: CurveSpec
    curve: LayerCurve | None
    missing: tuple[int, ...]
    origin: str | None
    stored_at: float | None
    own_losses: dict[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every layer is there."""
        return not self.missing


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Training loss of one phi: `step` and `train_loss` are (n_points,)."""

    name: str
    layer: int
    step: np.ndarray
    train_loss: np.ndarray
    steps: int
    role: str
    kind_f: str
    kind_g: str


def find(store: ResultStore, comparison: Comparison, n_batches: int = 0) -> Entry | None:
    """The entry that serves best: the local one if it reaches what is wanted, else the one that reaches further."""
    local, shipped = store.get_local(comparison.key), store.get_shipped(comparison.key)
    if local is None or shipped is None:
        return local or shipped
    wanted = n_batches or int(comparison.setting("steps", 0)) + 1
    return local if _extent(local) >= min(wanted, _extent(shipped)) else shipped


def load_batches(store: ResultStore, comparison: Comparison, n_batches: int = 0) -> tuple[Any, Entry | None]:
    """What is stored of a map batch by batch, by the type that its measure declares,
    with the entry that it comes from."""
    entry = find(store, comparison, n_batches)
    if entry is None:
        return None, None
    return result_type(comparison).from_arrays(entry.arrays, entry.meta), entry


def load_hsic(store: ResultStore, comparison: Comparison, n_batches: int = 0) -> tuple[BatchHsic | None, Entry | None]:
    """Per-batch HSIC values of a CKA comparison, with the entry they come from."""
    return load_batches(store, comparison, n_batches)


def load_matrix(store: ResultStore, panel: MatrixPanel, reduction: str, n_batches: int) -> MatrixView:
    """The heatmap of a panel from whatever batches are stored, at most `n_batches` of them."""
    batches, entry = load_batches(store, panel.comparison, n_batches)
    if batches is None or entry is None or batches.n_batches == 0:
        return MatrixView(panel, None, 0, n_batches, None, None)
    batches = batches.first(n_batches)
    if panel.swapped:
        batches = batches.transposed()
    reducer, reduction = reduction_of(panel.comparison, reduction)
    reduced = reducer.reduce(batches, reduction)
    provenance = {**entry.meta.get("provenance", {}), "reduction": reduction, "origin": entry.origin, "key": entry.key}
    provenance |= {"comparison": panel.comparison.to_dict(), "tokens": int(batches.n_tokens.sum())}
    first = first_layer(panel.comparison)
    matrix = LayerMatrix(
        reduced.values,
        reduced.standard_error,
        reduced.interval,
        reduced.n_batches,
        row_labels=layer_labels(reduced.values.shape[0], first),
        column_labels=layer_labels(reduced.values.shape[1], first),
        notes=(
            *(note if note in batches.notes else counted_from(first, note) for note in reduced.notes),
            *left_out(panel.comparison, batches.n_batches, int(batches.n_tokens.sum())),
        ),
        provenance=provenance,
    )
    chance = load_chance(store, panel, reduction, n_batches)
    shown = matrix if not panel.corrected else None if chance is None else corrected_matrix(matrix, chance)
    deciding = deciding_rows(batches, panel.comparison, (panel.row_name, panel.column_name))
    return MatrixView(panel, shown, batches.n_batches, n_batches, entry.origin, entry.stored_at, deciding, chance)


def load_chance(store: ResultStore, panel: MatrixPanel, reduction: str, n_batches: int) -> Chance | None:
    """The chance level of a panel's map from whatever is stored, at most `n_batches`; None where that is too little."""
    if panel.chance is None:
        return None
    rows, _ = load_batches(store, panel.chance, n_batches)
    if rows is None or rows.n_batches < least_batches():
        return None
    rows = rows.first(n_batches)
    windows = crossed_windows(rows.transposed() if panel.swapped else rows, reduction)
    return chance_level(windows, higher_is_similar=spec_of(panel.comparison).direction == "similar")


def reduction_of(comparison: Comparison, name: str) -> tuple[Reduction, str]:
    """How a measure's batches become a map, and the name of the way: the measure's own where `name` is the usual one.

    Raises:
        UserError: the measure does not have it.
    """
    spec = spec_of(comparison)
    name = spec.reduction_named(name)
    assert spec.reduction is not None
    return spec.reduction, name


def load_stitch(store: ResultStore, comparison: Comparison) -> tuple[StitchResult | None, Entry | None]:
    """A stitch as far as it was computed: its learning curve may stand before its loss does."""
    entry = find(store, comparison)
    if entry is None:
        return None, None
    return StitchResult.from_arrays(entry.arrays, entry.meta), entry


def load_curve(store: ResultStore, spec: CurveSpec, quantity: str = "loss") -> CurveView:
    """A curve of Figure 1 from the stitches that are stored.

    Args:
        quantity: "loss" of the stitched model, or "penalty" against g's own loss on the same sequences; both in
            nats a token, with the standard error and the t interval over evaluation sequences.
    """
    found = [(c, *load_stitch(store, c)) for c in spec.comparisons]
    done = [(c, r, e) for c, r, e in found if r is not None and e is not None and r.complete]
    missing = tuple(c.layer_pair[0] for c, r, _ in found if r is None or not r.complete)
    if not done:
        return CurveView(spec, None, missing, None, None)
    samples = [r.loss if quantity == "loss" else r.penalty for _, r, _ in done]
    statistics = [mean_interval(sample) for sample in samples]
    mean, error, low, high = (np.array(column) for column in zip(*statistics, strict=True))
    last = max(done, key=lambda item: item[2].stored_at)
    curve = LayerCurve(
        spec.name,
        np.array([c.layer_pair[0] for c, _, _ in done]),
        mean,
        error,
        np.stack([low, high]),
        style={"role": spec.role, "kind_f": spec.kind_f, "kind_g": spec.kind_g},
        provenance={
            **last[1].provenance,
            "quantity": quantity,
            "n_sequences": int(last[1].loss.size),
            "comparisons": [c.to_dict() for c, _, _ in done],
            "closed_form": [_closed_form(r, quantity) for _, r, _ in done],
        },
    )
    own = {last[0].f.name: float(last[1].loss_f.mean()), last[0].g.name: float(last[1].loss_g.mean())}
    origins = {e.origin for _, _, e in done}
    origin = origins.pop() if len(origins) == 1 else "local"
    return CurveView(spec, curve, missing, origin, last[2].stored_at, own)


def load_learning(store: ResultStore, spec: CurveSpec) -> list[LearningCurve]:
    """The learning curves of a curve's stitches, those in training included."""
    curves = []
    for comparison in spec.comparisons:
        result, _ = load_stitch(store, comparison)
        if result is not None and result.step.size:
            curves.append(
                LearningCurve(
                    spec.name,
                    result.layer_f,
                    result.step,
                    result.train_loss,
                    result.steps,
                    spec.role,
                    spec.kind_f,
                    spec.kind_g,
                )
            )
    return curves


def request_for(comparisons: Iterable[Comparison], n_batches: int) -> Request:
    """A request of distinct comparisons."""
    return Request(tuple({c.key: c for c in comparisons}.values()), n_batches)


def _extent(entry: Entry) -> int:
    """Batches of a CKA entry; steps done of a stitch (1 more once it is evaluated)."""
    if "n_tokens" in entry.arrays:
        return len(entry.arrays["n_tokens"])
    plain: dict[str, Any] = entry.meta
    return int(plain.get("steps_done", 0)) + int(entry.arrays["loss"].size > 0)


def _closed_form(result: StitchResult, quantity: str) -> float | None:
    if not result.loss_closed_form.size:
        return None
    loss = result.loss_closed_form
    return float((loss if quantity == "loss" else loss - result.loss_g).mean())
