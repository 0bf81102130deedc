"""Captions and exported forms of the figures of section 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from repdiss_core.analysis.groups import (
    PermutationTest,
    jackknife,
    over_pairs,
    pair_values,
    permutation_test,
    unordered_pair_values,
)
from repdiss_core.studies.generalization import question
from repdiss_core.studies.generalization.question import Params
from repdiss_core.studies.generalization.stored import Loaded

SHORT_SETS = {
    "in_distribution": "In distribution",
    "lexical_overlap": "Lexical overlap",
    "lexical_overlap_rank": "Lexical overlap (ranking items)",
}


def cka_forms(loaded: Loaded, set_name: str) -> list[dict[str, Any]]:
    """Figure 2 right as plain JSON types: a form a kind of pairs, and one for the gap."""
    values = loaded.group_cka(set_name)
    if values is None:
        return [_nothing("cka", set_name)]
    layers = [str(i + 1) for i in range(values.shape[-1])]
    return _forms(loaded, set_name, "cka", layers, unordered_pair_values(values, loaded.groups.is_top), values)


def stitching_forms(loaded: Loaded, set_name: str, quantity: str) -> list[dict[str, Any]]:
    """Figure 2 left, or 7, as plain JSON types; labels are cuts 0 … L."""
    found = loaded.accuracy[set_name]
    if loaded.group_penalty(set_name) is None:
        return [_nothing(f"stitched {quantity}", set_name)]
    values = found.values if quantity == "accuracy" else found.penalty
    cuts = [str(i) for i in range(values.shape[-1])]
    return _forms(
        loaded, set_name, f"stitched {quantity}", cuts, pair_values(values, loaded.groups.is_top), found.penalty
    )


def _nothing(quantity: str, set_name: str) -> dict[str, Any]:
    title = f"{quantity}, {SHORT_SETS[set_name].lower()}"
    return {"title": title, "measure": quantity, "rows": "", "columns": set_name, "values": None}


def _forms(
    loaded: Loaded, set_name: str, quantity: str, labels: list[str], by_kind: dict[str, np.ndarray], tested: np.ndarray
) -> list[dict[str, Any]]:
    forms = []
    for kind, values in by_kind.items():
        mean, interval = over_pairs(values)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        forms.append(
            curve_form(loaded, set_name, quantity, kind, labels, mean, error, interval) | {"n_pairs": len(values)}
        )
    test = permutation_test(tested, loaded.groups.is_top)
    gap = curve_form(
        loaded,
        set_name,
        quantity,
        "within minus between",
        labels,
        test.effect,
        None,
        jackknife(tested, loaded.groups.is_top),
    )
    return [
        *forms,
        gap
        | {
            "p": test.p.tolist(),
            "p_adjusted": test.p_adjusted.tolist(),
            "n_splits": test.n_splits,
            "exact": test.exact,
        },
    ]


def curve_form(
    loaded: Loaded,
    set_name: str,
    quantity: str,
    rows: str,
    labels: list[str],
    values: np.ndarray,
    error: np.ndarray | None,
    interval: np.ndarray,
) -> dict[str, Any]:
    """One row of numbers with its provenance."""
    return {
        "title": f"{quantity}, {SHORT_SETS[set_name].lower()}, {rows.replace('_', ' ')}",
        "measure": "cka" if quantity == "cka" else "stitched_accuracy",
        "rows": rows,
        "columns": set_name,
        "row_labels": labels,
        "column_labels": labels,
        "values": _finite(values),
        "standard_error": [None] * len(labels) if error is None else _finite(error),
        "interval": {"level": 0.95, "lower": _finite(interval[0]), "upper": _finite(interval[1])},
        "provenance": provenance(loaded),
    }


def provenance(loaded: Loaded) -> dict[str, Any]:
    """What the numbers rest on."""
    p, groups = loaded.params, loaded.groups
    chosen = {
        "population": p.population,
        "k": p.k,
        "ranked_by": p.rank_by,
        "hook": p.hook,
        "rows": p.rows,
        "estimator": p.estimator,
    }
    return {
        **chosen,
        "items": p.items,
        "chunks": p.chunks,
        "n_pairs": groups.n_pairs,
        "generalizing": list(groups.top),
        "heuristic": list(groups.bottom),
    }


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def models_words(loaded: Loaded) -> str:
    spec, k = question.POPULATIONS[loaded.params.population], loaded.groups.k
    constructed = ", groups differ by construction" if spec.constructed else ""
    if loaded.params.population == question.FEATHER:
        return (
            f"{k} + {k} of the 100 BERTs of McCoy et al. "
            "(2020), ranked by their published accuracy on HANS lexical overlap"
        )
    return (
        f"{k} + {k} of {len(loaded.overlap_accuracy)} tiny BERTs ({spec.label}{constructed}), "
        f"ranked by accuracy on {question.SET_LABELS[loaded.params.rank_by]}"
    )


def sets_words(sets: tuple[str, ...]) -> str:
    return " and ".join(question.SET_LABELS[name] for name in sets)


def chunks_words(loaded: Loaded, sets: tuple[str, ...]) -> str:
    found = loaded.cka[sets[0]]
    return f"{found.n_chunks} chunks of {found.rows_per_chunk} rows" if found.n_chunks else ""


def features_words(params: Params) -> str:
    rows = {
        "tokens": "tokens without padding as rows",
        "padded": "all positions as rows, padding included (the paper's way)",
        "cls": "[CLS] as rows",
    }[params.rows]
    hook = "before the residual addition" if params.hook == "mlp_out" else "after the residual addition"
    return f"{params.estimator} CKA, {rows}, block outputs {hook}"


def interval_words(test: PermutationTest | None) -> str:
    bands = "bands: 95 % t interval over pairs, the paper's way, too narrow since pairs share models"
    if test is None:
        return bands
    kind = "all" if test.exact else "random"
    return (
        (
            f"{bands}; p: permutation of {test.n_models} models ({test.n_splits:,} {kind} splits), "
            f"corrected for {len(test.p)} layers"
        ).replace(",", "\u2009", 1)
        if test.n_splits >= 1000
        else (
            f"{bands}; p: permutation of {test.n_models} models ({test.n_splits} {kind} splits), "
            f"corrected for {len(test.p)} layers"
        )
    )


def departures_words(params: Params) -> tuple[str, ...]:
    ours = (
        "The models are tiny BERTs trained on a template grammar; "
        "the paper's are 100 fine-tunings of bert-base on MNLI, measured on MNLI and HANS."
    )
    told = [] if params.population == question.FEATHER else [ours]
    if params.rows != "padded":
        told.append("Padding is left out of the features; the paper pads to 512 tokens and counts padding as rows.")
    if params.circular:
        told.append(
            "The models are ranked on the very pairs that they are measured on, which flatters the overlap panels."
        )
    if params.hook != "mlp_out":
        told.append("Features are taken after the residual addition; the paper's before it.")
    return tuple(told)
