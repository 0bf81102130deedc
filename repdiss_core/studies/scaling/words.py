"""Captions and tables of the figures of section 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import amount, how_measured
from repdiss_core.studies.scaling.stored import FamilyResults
from repdiss_core.studies.tables import Table


def caption(
    loaded: FamilyResults, models: str, measured: str, interval: str = "", departures: tuple[str, ...] = ()
) -> Caption:
    """What a figure of the whole family rests on.

    Args:
        models: which of its members.
        measured: what was made of CKA, before how CKA was read.
    """
    params = loaded.params
    data = _first(loaded).data
    return Caption(
        models=f"{models} of {params.family}"
        + (" (small models trained by us)" if params.preset.models == "bundled" else ""),
        data=f"{data.name}, {data.split} split",
        amount=amount(loaded.maps.n_batches, data.sequences_per_batch, data.tokens_per_sequence),
        estimator=f"{measured}; {how_measured(_first(loaded), params.cka.reduction)}",
        interval=interval,
        departures=(*departures, *params.spec.departures, *params.preset.departures),
    )


def curve_table(
    loaded: FamilyResults,
    title: str,
    f: str,
    g: str,
    labels: Sequence[tuple[str, str]],
    values: Any,
    interval: np.ndarray | None = None,
    error: np.ndarray | None = None,
) -> Table:
    """A row of numbers of the whole family; (row label, column label) for each."""
    return Table(
        title,
        "curve",
        f=f,
        g=g,
        row_labels=tuple(str(row) for row, _ in labels),
        column_labels=tuple(str(column) for _, column in labels),
        values=np.asarray(values, dtype=float),
        standard_error=error,
        interval=interval,
        measure="cka",
        provenance=provenance(loaded),
    )


def square_table(
    loaded: FamilyResults, title: str, names: Sequence[str], values: np.ndarray, error: np.ndarray | None = None
) -> Table:
    """A square of numbers of the whole family."""
    return Table(
        title,
        "map",
        f=loaded.params.family,
        g=loaded.params.family,
        row_labels=tuple(names),
        column_labels=tuple(names),
        values=values,
        standard_error=error,
        measure="cka",
        provenance=provenance(loaded),
    )


def provenance(loaded: FamilyResults) -> dict[str, Any]:
    """What the numbers rest on."""
    first = _first(loaded)
    return {
        "family": loaded.params.family,
        "members": list(loaded.maps.members),
        "batches": loaded.maps.n_batches,
        "reduction": loaded.params.cka.reduction,
        "settings": dict(first.settings),
        "data": first.to_dict()["data"],
        "hook": first.hook,
        "resid_mean": first.resid_mean,
        "origin": loaded.maps.origin.origin,
    }


def hover(*lines: str) -> str:
    """A hover text of several lines, none of them taken as markup."""
    from repdiss_core.plots.theme import plain

    return "<br>".join(plain(line) for line in lines)


def value_words(value: float, low: float, high: float, level: str = "95 %") -> str:
    """ "0.713  95 % [0.700, 0.726]": the order of every figure."""
    return f"{value:.3f}  {level} [{low:.3f}, {high:.3f}]".replace("-", "\u2212")


def _first(loaded: FamilyResults) -> Any:
    from repdiss_core.studies.scaling.question import pair_panel

    return pair_panel(loaded.params, loaded.reference, loaded.reference).comparison
