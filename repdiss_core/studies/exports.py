"""Results as JSON and CSV with their provenance, the same from the page and from the command line."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np

from repdiss_core.studies.panels import CurveView, LearningCurve, MatrixView


def matrix_form(view: MatrixView) -> dict[str, Any]:
    """A heatmap as plain JSON types; NaN becomes null."""
    matrix = view.matrix
    if matrix is None:
        return {
            "title": view.panel.title,
            "rows": view.panel.row_name,
            "columns": view.panel.column_name,
            "values": None,
        }
    provenance = dict(matrix.provenance)
    return {
        "title": view.panel.title,
        "measure": view.panel.comparison.measure,
        "rows": view.panel.row_name,
        "columns": view.panel.column_name,
        "row_labels": list(matrix.row_labels),
        "column_labels": list(matrix.column_labels),
        "values": _plain(matrix.values),
        "standard_error": _plain(matrix.standard_error),
        "interval": {"level": 0.95, "lower": _plain(matrix.interval[0]), "upper": _plain(matrix.interval[1])},
        "n_batches": matrix.n_batches,
        "reduction": provenance.pop("reduction", None),
        "notes": list(matrix.notes),
        "comparison": provenance.pop("comparison", view.panel.comparison.to_dict()),
        "transposed": view.panel.swapped,
        "provenance": provenance,
    }


def curve_form(view: CurveView) -> dict[str, Any]:
    """A curve over layers as plain JSON types."""
    curve = view.curve
    names = {"f": view.spec.comparisons[0].f.name, "g": view.spec.comparisons[0].g.name}
    form: dict[str, Any] = {
        "title": view.spec.name,
        "measure": view.spec.comparisons[0].measure,
        "rows": names["f"],
        "columns": names["g"],
    }
    if curve is None:
        return {**form, "values": None, "missing_layers": list(view.missing)}
    provenance = dict(curve.provenance)
    comparisons = provenance.pop("comparisons")
    return {
        **form,
        "quantity": provenance.pop("quantity"),
        "unit": "nats a token",
        "row_labels": [c["layer_pairs"].split(":")[0] for c in comparisons],
        "column_labels": [c["layer_pairs"].split(":")[1] for c in comparisons],
        "values": _plain(curve.values),
        "standard_error": _plain(curve.standard_error),
        "interval": {"level": 0.95, "lower": _plain(curve.interval[0]), "upper": _plain(curve.interval[1])},
        "closed_form": provenance.pop("closed_form"),
        "own_loss": view.own_losses,
        "n_sequences": provenance.pop("n_sequences"),
        "missing_layers": list(view.missing),
        "comparison": comparisons,
        "provenance": provenance,
    }


def learning_form(curve: LearningCurve) -> dict[str, Any]:
    """The learning curve of one phi as plain JSON types."""
    return {
        "title": f"{curve.name}, layer {curve.layer}",
        "curve": curve.name,
        "layer": curve.layer,
        "step": curve.step.tolist(),
        "train_loss": _plain(curve.train_loss),
        "steps": curve.steps,
        "unit": "nats a token",
    }


def to_json(form: Any) -> str:
    """Indented JSON without NaN."""
    return json.dumps(form, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(forms: list[dict[str, Any]]) -> str:
    """One row a cell (or a step), with the provenance in comment lines at the top."""
    out = io.StringIO()
    for form in forms:
        if form.get("provenance"):
            out.write(f"# {form['title']}: {json.dumps(form['provenance'], ensure_ascii=False)}\n")
    if forms and "train_loss" in forms[0]:
        writer = csv.writer(out)
        writer.writerow(["curve", "layer", "step", "train_loss"])
        for form in forms:
            writer.writerows(
                [form["curve"], form["layer"], s, v] for s, v in zip(form["step"], form["train_loss"], strict=True)
            )
        return out.getvalue()
    writer = csv.writer(out)
    writer.writerow(["panel", "model_f", "layer_f", "model_g", "layer_g", "value", "standard_error", "lower", "upper"])
    for form in forms:
        if form["values"] is not None:
            writer.writerows(_rows(form))
    return out.getvalue()


def _rows(form: dict[str, Any]) -> list[list[Any]]:
    names, lower, upper = (form["rows"], form["columns"]), form["interval"]["lower"], form["interval"]["upper"]
    values, error = form["values"], form["standard_error"]
    if values and not isinstance(values[0], list):
        cells = zip(form["row_labels"], form["column_labels"], values, error, lower, upper, strict=True)
        return [[form["title"], names[0], l, names[1], m, *rest] for l, m, *rest in cells]
    return [
        [form["title"], names[0], l, names[1], m, values[i][j], error[i][j], lower[i][j], upper[i][j]]
        for i, l in enumerate(form["row_labels"])
        for j, m in enumerate(form["column_labels"])
    ]


def _plain(array: np.ndarray) -> Any:
    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(v) for v in value]
        return value if math.isfinite(value) else None

    return clean(np.asarray(array, dtype=float).tolist())


def citation(title: str, rests_on: str, job: str, address: str = "") -> str:
    """One line that names a result: what, from what, its key, and where it is seen.

    Args:
        rests_on: the caption's line on models, data, amount and interval.
        job: key of the request; the same computation has the same key everywhere.
        address: of the live view; "" leaves it out.
    """
    parts = (f"RepDiss: {title}", rests_on, f"result {job[:12]}", address)
    return ". ".join(part.rstrip(".") for part in parts if part) + "."
