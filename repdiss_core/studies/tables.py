"""Tables of results: values with errors, intervals, labels and provenance; JSON, CSV and a cell's panel come from them.

pandas is imported where a data frame is made, so that the command line starts without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.measures import measure_spec, spec_of
from repdiss_core.studies.chance_level import ChanceFacts
from repdiss_core.studies.panels import CurveView, LearningCurve, MatrixView

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["map", "curve", "trace", "rows"]
Comparisons = Comparison | tuple[Comparison, ...] | tuple[tuple[Comparison, ...], ...]
LEVEL = 0.95
CELL_COLUMNS = ("panel", "model_f", "layer_f", "model_g", "layer_g", "value", "standard_error", "lower", "upper")
TRACE_COLUMNS = ("curve", "layer", "step", "train_loss")
SIZES = {"batch": "n_batches", "sequence": "n_sequences", "pair": "n_pairs"}


class Member(Protocol):
    """What one kind of figure has to say beyond its values."""

    def to_dict(self) -> dict[str, Any]:
        """The members that it adds to a table's JSON."""


@dataclass(frozen=True)
class Sample:
    """What a value is the mean of: `size` batches, sequences, or pairs of models."""

    unit: Literal["batch", "sequence", "pair"]
    size: int


@dataclass(frozen=True, eq=False)
class Training:
    """Where on a training the losses of a trace lie.

    Args:
        layer: of f, counted from 1.
        step: (n,) steps done.
        steps: of the whole training.
    """

    layer: int
    step: np.ndarray
    steps: int


@dataclass(frozen=True)
class StitchFacts:
    """What a curve of stitches holds beside its values.

    Args:
        missing_layers: layers of f without a value yet.
        closed_form: the same quantity of the least-squares phi, by layer; None for a curve without values.
        own_loss: {model: its own loss, nats per token}.
    """

    missing_layers: tuple[int, ...]
    closed_form: tuple[float | None, ...] | None = None
    own_loss: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """closed_form and own_loss where there are values, and missing_layers."""
        values = {"closed_form": self.closed_form, "own_loss": self.own_loss} if self.closed_form is not None else {}
        return _json_types({**values, "missing_layers": self.missing_layers})


@dataclass(frozen=True, eq=False)
class Table:
    """One panel of a figure as numbers.

    Args:
        kind: "map": a value for each row and column; "curve": a value for each pair (row label, column label);
            "trace": a loss for each step of a training; "rows": records of a few columns.
        f, g: what rows and columns are of: two models, or the kind of pairs and the data set.
        row_labels, column_labels: of the cells; a curve has as many of one as of the other.
        values: (R, C) of a map, (n,) of a curve or trace; NaN where a cell has no value, None where nothing is stored.
        standard_error: of the same shape; None where none was estimated.
        interval: (2, R, C) or (2, n), lower and upper ends of the 95 % interval; None where none was estimated.
        measure, quantity, unit: what is measured; empty where a figure does not say.
        sample: what each value is the mean of.
        comparisons: what the values rest on: one for a whole map, one for each point of a curve, or one for each cell.
        reduction, transposed, notes: how a map is read from its comparison; None elsewhere.
        provenance: versions, device and all else that the numbers rest on.
        training: of a trace.
        records: of a table of rows, one mapping from column to cell for each row.
        members: what this figure alone has to say.
    """

    title: str
    kind: Kind
    f: str = ""
    g: str = ""
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    values: np.ndarray | None = None
    standard_error: np.ndarray | None = None
    interval: np.ndarray | None = None
    measure: str = ""
    quantity: str = ""
    unit: str = ""
    sample: Sample | None = None
    comparisons: Comparisons | None = None
    reduction: str | None = None
    transposed: bool | None = None
    notes: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] | None = None
    training: Training | None = None
    records: tuple[Mapping[str, Any], ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def has_cells(self) -> bool:
        """Whether it is a map with at least one cell, so that a cell can be chosen."""
        return self.kind == "map" and self.values is not None and self.values.size > 0

    @property
    def chance(self) -> ChanceFacts | None:
        """The chance level among the members."""
        return next((member for member in self.members if isinstance(member, ChanceFacts)), None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values; by the labels where there are none."""
        if self.values is not None:
            return self.values.shape
        return (len(self.row_labels), len(self.column_labels)) if self.kind == "map" else (len(self.row_labels),)

    def cell(self, row: int, column: int) -> tuple[float, float, float]:
        """(value, lower, upper end of the interval) of a map's cell, counted from 0; NaN for what there is not."""
        assert self.values is not None
        lower, upper = self._interval()
        return float(self.values[row, column]), float(lower[row, column]), float(upper[row, column])

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; NaN becomes null."""
        if self.kind == "trace":
            return self._trace_dict()
        if self.kind == "rows":
            records = [dict(record) for record in self.records]
            return {"title": self.title, "columns": list(self.column_labels), "rows": records}
        texts = {"title": self.title, "measure": self.measure, "quantity": self.quantity, "unit": self.unit}
        head: dict[str, Any] = {name: text for name, text in texts.items() if text}
        head |= {"rows": self.f, "columns": self.g}
        numbers = self._numbers_dict() if self.values is not None or self.row_labels else {"values": None}
        rest: dict[str, Any] = {} if self.sample is None else {SIZES[self.sample.unit]: self.sample.size}
        rest |= {"reduction": self.reduction, "transposed": self.transposed, "notes": self.notes}
        rest |= {"comparison": self.comparisons, "provenance": self.provenance}
        members = [member.to_dict() for member in self.members]
        rest = {name: _json_types(value) for name, value in rest.items() if value is not None}
        return {**head, **numbers, **rest, **{name: v for member in members for name, v in member.items()}}

    def to_frame(self) -> pd.DataFrame:
        """A row for each cell, point, step or record. Columns: `CELL_COLUMNS` for maps and curves, `TRACE_COLUMNS` for
        traces, "family" and those of the records for rows.
        """
        import pandas as pd

        if self.kind == "rows":
            return pd.DataFrame([{"family": self.title, **record} for record in self.records], dtype=object)
        if self.kind == "trace":
            training = self._training()
            points = (self.f, training.layer, training.step, self.values)
            return pd.DataFrame(dict(zip(TRACE_COLUMNS, points, strict=True)))
        if self.values is None:
            return pd.DataFrame(columns=list(CELL_COLUMNS))
        rows, columns = np.array(self.row_labels, dtype=object), np.array(self.column_labels, dtype=object)
        if self.kind == "map":
            rows, columns = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
        arrays = (self.values, self._error(), *self._interval())
        numbers = (np.asarray(array, dtype=float).ravel() for array in arrays)
        cells = (self.title, self.f, rows, self.g, columns, *numbers)
        further = {} if self.chance is None else {n: a.ravel() for n, a in self.chance.columns().items()}
        return pd.DataFrame({**dict(zip(CELL_COLUMNS, cells, strict=True)), **further})

    def _training(self) -> Training:
        assert self.training is not None, "a trace names its training"
        return self.training

    def _error(self) -> np.ndarray:
        return np.full(self.shape, np.nan) if self.standard_error is None else self.standard_error

    def _interval(self) -> np.ndarray:
        return np.full((2, *self.shape), np.nan) if self.interval is None else self.interval

    def _numbers_dict(self) -> dict[str, Any]:
        lower, upper = self._interval()
        return {
            "row_labels": list(self.row_labels),
            "column_labels": list(self.column_labels),
            "values": _json_types(self.values),
            "standard_error": _json_types(self._error()),
            "interval": {"level": LEVEL, "lower": _json_types(lower), "upper": _json_types(upper)},
        }

    def _trace_dict(self) -> dict[str, Any]:
        training = self._training()
        return {
            "title": self.title,
            "curve": self.f,
            "layer": training.layer,
            "step": training.step.tolist(),
            "train_loss": _json_types(self.values),
            "steps": training.steps,
            "unit": self.unit,
        }


def frame_of(tables: Sequence[Table]) -> pd.DataFrame:
    """The rows of all tables, one below another; the columns of a map where there are none."""
    import pandas as pd

    frames = [table.to_frame() for table in tables]
    filled = [frame for frame in frames if not frame.empty]
    if filled:
        return pd.concat(filled, ignore_index=True)
    return frames[0] if frames else pd.DataFrame(columns=list(CELL_COLUMNS))


def map_table(view: MatrixView) -> Table:
    """A heatmap."""
    panel, matrix = view.panel, view.matrix
    spec = spec_of(panel.comparison)
    table = Table(
        panel.title,
        "map",
        f=panel.row_name,
        g=panel.column_name,
        measure=spec.name,
        quantity=f"chance-corrected {spec.short}" if panel.corrected else spec.short,
        unit=spec.unit,
    )
    if matrix is None:
        return table
    provenance = {name: fact for name, fact in matrix.provenance.items() if name not in ("reduction", "comparison")}
    return replace(
        table,
        row_labels=tuple(matrix.row_labels),
        column_labels=tuple(matrix.column_labels),
        values=matrix.values,
        standard_error=matrix.standard_error,
        interval=matrix.interval,
        sample=Sample("batch", matrix.n_batches),
        comparisons=panel.comparison,
        reduction=matrix.provenance.get("reduction"),
        transposed=panel.swapped,
        notes=tuple(view.notes),
        provenance=provenance,
        members=() if view.chance is None or panel.chance is None else (ChanceFacts(view.chance, panel.chance),),
    )


def curve_table(view: CurveView) -> Table:
    """A curve of stitches over layers."""
    first, curve = view.spec.comparisons[0], view.curve
    table = Table(view.spec.name, "curve", f=first.f.name, g=first.g.name, measure=first.measure)
    if curve is None:
        return replace(table, members=(StitchFacts(view.missing),))
    provenance = dict(curve.provenance)
    comparisons = tuple(Comparison.from_dict(plain) for plain in provenance.pop("comparisons"))
    closed_form = tuple(provenance.pop("closed_form"))
    return replace(
        table,
        row_labels=tuple(str(c.layer_pair[0]) for c in comparisons),
        column_labels=tuple(str(c.layer_pair[1]) for c in comparisons),
        values=curve.values,
        standard_error=curve.standard_error,
        interval=curve.interval,
        quantity=provenance.pop("quantity"),
        unit=spec_of(first).unit,
        sample=Sample("sequence", provenance.pop("n_sequences")),
        comparisons=comparisons,
        provenance=provenance,
        members=(StitchFacts(view.missing, closed_form, view.own_losses),),
    )


def trace_table(curve: LearningCurve) -> Table:
    """The learning curve of one phi."""
    return Table(
        f"{curve.name}, layer {curve.layer}",
        "trace",
        f=curve.name,
        values=curve.train_loss,
        unit=measure_spec("stitching").unit,
        training=Training(curve.layer, curve.step, curve.steps),
    )


def _json_types(value: Any) -> Any:
    """Arrays and tuples as lists, comparisons as their dictionaries, numbers that are not finite as None."""
    if isinstance(value, np.ndarray):
        numbers = value.astype(float)
        plain = numbers.astype(object)
        plain[~np.isfinite(numbers)] = None
        return plain.tolist()
    if isinstance(value, Comparison):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _json_types(part) for name, part in value.items()}
    return [_json_types(part) for part in value] if isinstance(value, tuple) else value
