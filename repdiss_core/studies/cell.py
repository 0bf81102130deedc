"""What one cell of a map rests on: the numbers behind it, and the command that computes it again.

Reads the cache, never computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.data import BY, SPECIAL_IN, TYPED
from repdiss_core.data.row_streams import TEXTS
from repdiss_core.measures import spec_of
from repdiss_core.measures.reduction import REDUCTIONS, mean_interval
from repdiss_core.measures.spec import first_layer
from repdiss_core.models import model_spec
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry
from repdiss_core.studies.common import CkaView, cka_panel, phi_words, stitch_preset_of
from repdiss_core.studies.drawn import amount, amount_of, how_measured
from repdiss_core.studies.options import EMBEDDING, ESTIMATOR
from repdiss_core.studies.panels import MatrixPanel, load_batches, load_stitch, reduction_of
from repdiss_core.studies.rows import TOKEN, rows_of, unit_of
from repdiss_core.studies.tables import Table


@dataclass(frozen=True, eq=False)
class CellFacts:
    """One cell of a map and what it rests on.

    Args:
        quantity: "CKA" or another measure, "loss" or "penalty".
        unit: what `sample` runs over: "batch" or "sequence".
        f, g, layer_f, layer_g: model and layer of its row and of its column, by the layer's number.
        statistics: value, standard error, lower and upper end of the 95 % interval; NaN where there is none.
        sample: (n,) the value of each batch (jackknife pseudo-values for a ratio of means) or sequence.
        how, tokens: estimator and reduction, and how much data, in words.
        command: the command line that computes the value again.
        comparison: as it is stored, perhaps with f and g exchanged.
        entry: the stored result.
        chance: what its chance level says; "" where none is shown.
    """

    quantity: str
    unit: str
    f: str
    g: str
    layer_f: int
    layer_g: int
    statistics: tuple[float, float, float, float]
    sample: np.ndarray
    how: str
    tokens: str
    command: str
    comparison: Comparison
    entry: Entry
    chance: str = ""

    @property
    def is_cka(self) -> bool:
        """Whether the value has other estimators, and single tokens behind it."""
        return self.comparison.measure == "cka"

    @property
    def value_unit(self) -> str:
        """The unit of the value; "" for none."""
        return spec_of(self.comparison).unit

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, device, threads and date, as the entry holds them."""
        return self.entry.meta.get("provenance", {})


def cka_cell(
    store: ResultStore, panel: MatrixPanel, row: int, column: int, reduction: str, n_batches: int
) -> CellFacts | None:
    """The cell at (row, column), counted from 0, of a CKA map; None where nothing is stored.

    Args:
        n_batches: at most so many of the stored batches enter, as in the map.
    """
    batches, entry = load_batches(store, panel.comparison, n_batches)
    if batches is None or entry is None or batches.n_batches == 0:
        return None
    batches = batches.first(n_batches)
    if panel.swapped:
        batches = batches.transposed()
    reducer, reduction = reduction_of(panel.comparison, reduction)
    reduced = reducer.reduce(batches, reduction)
    at = (row, column)
    value, error = float(reduced.values[at]), float(reduced.standard_error[at])
    low, high = (float(end[at]) for end in reduced.interval)
    return CellFacts(
        spec_of(panel.comparison).short,
        "batch",
        panel.row_name,
        panel.column_name,
        row + first_layer(panel.comparison),
        column + first_layer(panel.comparison),
        (value, error, low, high),
        reducer.pseudo_values(batches, reduction)[:, row, column],
        how_measured(panel.comparison, reduction),
        amount_of(panel.comparison.data, batches.n_batches),
        cka_command(panel, reduction, batches.n_batches),
        panel.comparison,
        entry,
    )


def stitch_cell(store: ResultStore, comparison: Comparison, quantity: str) -> CellFacts | None:
    """The cell of a map of stitches; None where it is not computed.

    Args:
        quantity: "loss" or "penalty".
    """
    result, entry = load_stitch(store, comparison)
    if result is None or entry is None or not result.complete:
        return None
    sample = result.penalty if quantity == "penalty" else result.loss
    data, layers = comparison.data, comparison.layer_pair
    identity = comparison.measure == "identity_stitching"
    how = "identity stitching (phi = id)" if identity else phi_words(comparison)
    return CellFacts(
        quantity,
        "sequence",
        comparison.f.name,
        comparison.g.name,
        *layers,
        mean_interval(sample),
        sample,
        how,
        amount(int(comparison.setting("eval_batches", 0)), data.sequences_per_batch, data.tokens_per_sequence),
        stitch_command(comparison),
        comparison,
        entry,
    )


def table_cell(store: ResultStore, table: Table, row: int, column: int) -> CellFacts | None:
    """The cell at (row, column), counted from 0, of a map; None where a cell rests on more than one comparison."""
    comparisons = table.comparisons
    if isinstance(comparisons, tuple):
        of_row = comparisons[row]
        assert isinstance(of_row, tuple), "a map names a comparison for each cell"
        return stitch_cell(store, of_row[column], table.quantity)
    if comparisons is None or table.reduction is None or table.sample is None:
        return None
    panel = MatrixPanel(table.title, comparisons, bool(table.transposed), table.f, table.g)
    facts = cka_cell(store, panel, row, column, table.reduction, table.sample.size)
    if facts is None or table.chance is None:
        return facts
    return replace(facts, chance=table.chance.cell(row, column), command=f"{facts.command} --chance")


def cka_command(panel: MatrixPanel, reduction: str, n_batches: int) -> str:
    """The command that computes a map's cells again, from what its key holds."""
    comparison = panel.comparison
    dtype = {} if comparison.dtype == "float32" else {"dtype": comparison.dtype}
    spec = spec_of(comparison)
    own = {"estimator": comparison.setting("estimator", "unbiased")} if spec.name == "cka" else {}
    chosen = {
        "measure": spec.name,
        **_data_options(comparison),
        **own,
        "reduction": reduction,
        "flatten": comparison.setting("flatten", "token"),
        "massive": comparison.setting("massive", "kept"),
        "resid-mean": comparison.resid_mean,
        **({"embedding": "shown"} if first_layer(comparison) == 0 else {}),
        **({"special": "kept"} if comparison.data.name.endswith(SPECIAL_IN) else {}),
        **dtype,
        "batches": n_batches,
    }
    return _command(panel.row_name, panel.column_name, chosen, {} if own else spec.chosen(comparison))


def stitch_command(comparison: Comparison) -> str:
    """The command that trains and evaluates one stitch again."""
    options = {"measure": comparison.measure, **_data_options(comparison), "layers": comparison.layer_pairs.text}
    preset = stitch_preset_of(comparison)
    options |= {"stitch": preset.name} if preset else {}
    return _command(
        comparison.f.name, comparison.g.name, {**options, "batches": int(comparison.setting("eval_batches", 0))}
    )


def _data_options(comparison: Comparison) -> dict[str, Any]:
    data = comparison.data
    name = data.name.rpartition(BY)[0] or data.name
    named = name if name.startswith(TYPED) else f"{name}/{data.split}"
    rows = rows_of(comparison)
    if rows != TOKEN:
        per_batch = {} if unit_of(data) == TEXTS else {"tokens-per-batch": data.tokens_per_batch}
        return {"data": named, "rows": rows, **per_batch, "words-per-sequence": data.tokens_per_sequence}
    return {"data": named, "tokens-per-batch": data.tokens_per_batch, "tokens-per-sequence": data.tokens_per_sequence}


def _command(f: str, g: str, options: Mapping[str, Any], own: Mapping[str, Any] = {}) -> str:
    words = [f"--{name} {value}" for name, value in options.items()]
    words += [f"--set {name}={value}" for name, value in own.items()]
    return f"python -m repdiss_core compare {f} {g} {' '.join(words)} --fresh"


def view_of(comparison: Comparison, n_batches: int) -> CkaView:
    """How a CKA comparison is read, as the settings of a page have it."""
    return CkaView(
        comparison.setting("estimator", "unbiased"),
        comparison.setting("flatten", "token"),
        comparison.resid_mean,
        n_batches=n_batches,
        dtype=comparison.dtype,
        massive=comparison.setting("massive", "kept"),
        rows=rows_of(comparison),
        embedding=comparison.setting("embedding", EMBEDDING.default),
    )


def by_estimator(facts: CellFacts, store: ResultStore) -> dict[str, tuple[MatrixPanel, dict[str, CellFacts | None]]]:
    """The cell by estimator: the map it then belongs to, and by reduction the cell itself,
    None where it is not stored."""
    n_batches, first = len(facts.sample), first_layer(facts.comparison)
    at, cells = (facts.layer_f - first, facts.layer_g - first), {}
    for estimator in ESTIMATOR.values:
        view = replace(view_of(facts.comparison, n_batches), estimator=estimator)
        panel = cka_panel(facts.f, facts.g, view, facts.comparison.data)
        cells[estimator] = (
            panel,
            {reduction: cka_cell(store, panel, *at, reduction, n_batches) for reduction in REDUCTIONS},
        )
    return cells


def places(facts: CellFacts) -> tuple[str, str]:
    """Where the row and the column of the cell are read, in words."""

    def place(name: str, layer: int) -> str:
        depth = model_spec(name).n_layers
        where = "the embedding" if layer == 0 else f"after block {layer} of {depth}"
        return f"{name}, layer {layer}: {facts.comparison.hook}, {where}"

    return place(facts.f, facts.layer_f), place(facts.g, facts.layer_g)
