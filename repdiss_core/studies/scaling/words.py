"""Captions and exported forms of the figures of section 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repdiss_core.studies.caption import Caption
from repdiss_core.studies.drawn import amount, how_measured
from repdiss_core.studies.scaling.stored import Loaded


def caption(
    loaded: Loaded, models: str, measured: str, interval: str = "", departures: tuple[str, ...] = ()
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


def form(
    loaded: Loaded,
    title: str,
    rows: str,
    columns: str,
    labels: Sequence[tuple[str, str]],
    values: Any,
    interval: Any = None,
    error: Any = None,
) -> dict[str, Any]:
    """A row of numbers as plain JSON types, with its provenance; (row label, column label) for each."""
    blank = np.full(len(labels), np.nan)
    low, high = (blank, blank) if interval is None else interval
    return {
        "title": title,
        "measure": "cka",
        "rows": rows,
        "columns": columns,
        "row_labels": [str(a) for a, _ in labels],
        "column_labels": [str(b) for _, b in labels],
        "values": _finite(values),
        "standard_error": _finite(blank if error is None else error),
        "interval": {"level": 0.95, "lower": _finite(low), "upper": _finite(high)},
        "provenance": provenance(loaded),
    }


def matrix_form(
    loaded: Loaded, title: str, names: Sequence[str], values: np.ndarray, error: np.ndarray | None = None
) -> dict[str, Any]:
    """A square of numbers as plain JSON types."""
    blank = [[None] * len(names) for _ in names]
    return {
        "title": title,
        "measure": "cka",
        "rows": loaded.params.family,
        "columns": loaded.params.family,
        "row_labels": list(names),
        "column_labels": list(names),
        "values": [_finite(row) for row in values],
        "standard_error": blank if error is None else [_finite(row) for row in error],
        "interval": {"level": 0.95, "lower": blank, "upper": blank},
        "provenance": provenance(loaded),
    }


def provenance(loaded: Loaded) -> dict[str, Any]:
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
        "origin": loaded.maps.origin.name,
    }


def hover(*lines: str) -> str:
    """A hover text of several lines, none of them taken as markup."""
    from repdiss_core.plots.theme import plain

    return "<br>".join(plain(line) for line in lines)


def value_words(value: float, low: float, high: float, level: str = "95 %") -> str:
    """ "0.713  95 % [0.700, 0.726]": the order of every figure."""
    return f"{value:.3f}  {level} [{low:.3f}, {high:.3f}]".replace("-", "\u2212")


def _first(loaded: Loaded) -> Any:
    from repdiss_core.studies.scaling.question import pair_panel

    return pair_panel(loaded.params, loaded.reference, loaded.reference).comparison


def _finite(values: Any) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
