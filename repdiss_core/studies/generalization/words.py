"""Captions and tables of the figures of section 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from repdiss_core.studies.generalization.question import PopulationParams
from repdiss_core.studies.generalization.stored import PopulationResults
from repdiss_core.studies.tables import Sample, Table

SHORT_SETS = {
    "in_distribution": "In distribution",
    "lexical_overlap": "Lexical overlap",
    "lexical_overlap_rank": "Lexical overlap (ranking items)",
}


@dataclass(frozen=True)
class SplitTest:
    """The permutation of models that a difference of groups was tested by.

    Args:
        adjusted: whether p was corrected for the number of layers.
    """

    test: PermutationTest
    adjusted: bool = True

    def to_dict(self) -> dict[str, Any]:
        """p, p_adjusted where it was corrected, n_splits, exact."""
        corrected = {"p_adjusted": self.test.p_adjusted.tolist()} if self.adjusted else {}
        return {"p": self.test.p.tolist(), **corrected, "n_splits": self.test.n_splits, "exact": self.test.exact}


def cka_tables(loaded: PopulationResults, set_name: str) -> list[Table]:
    """Figure 2 right: a table for each kind of pairs, and one for the gap."""
    values = loaded.group_cka(set_name)
    if values is None:
        return [_empty_table("cka", set_name)]
    layers = [str(i + 1) for i in range(values.shape[-1])]
    return _tables(loaded, set_name, "cka", layers, unordered_pair_values(values, loaded.groups.is_top), values)


def stitching_tables(loaded: PopulationResults, set_name: str, quantity: str) -> list[Table]:
    """Figure 2 left, or 7, by kind of pairs, and the gap; labels are cuts 0 … L."""
    accuracy = loaded.accuracy[set_name]
    if loaded.group_penalty(set_name) is None:
        return [_empty_table(f"stitched {quantity}", set_name)]
    values = accuracy.values if quantity == "accuracy" else accuracy.penalty
    cuts = [str(i) for i in range(values.shape[-1])]
    by_kind = pair_values(values, loaded.groups.is_top)
    return _tables(loaded, set_name, f"stitched {quantity}", cuts, by_kind, accuracy.penalty)


def _empty_table(quantity: str, set_name: str) -> Table:
    return Table(f"{quantity}, {SHORT_SETS[set_name].lower()}", "curve", g=set_name, measure=quantity)


def _tables(
    loaded: PopulationResults,
    set_name: str,
    quantity: str,
    labels: list[str],
    by_kind: dict[str, np.ndarray],
    tested: np.ndarray,
) -> list[Table]:
    tables = []
    for kind, values in by_kind.items():
        mean, interval = over_pairs(values)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        table = curve_table(loaded, set_name, quantity, kind, labels, mean, error, interval)
        tables.append(replace(table, sample=Sample("pair", len(values))))
    test = permutation_test(tested, loaded.groups.is_top)
    interval = jackknife(tested, loaded.groups.is_top)
    gap = curve_table(loaded, set_name, quantity, "within minus between", labels, test.effect, None, interval)
    return [*tables, replace(gap, members=(SplitTest(test),))]


def curve_table(
    loaded: PopulationResults,
    set_name: str,
    quantity: str,
    kind: str,
    labels: Sequence[str],
    values: np.ndarray,
    error: np.ndarray | None = None,
    interval: np.ndarray | None = None,
) -> Table:
    """One row of numbers with its provenance; `kind` names the pairs that they are of."""
    return Table(
        f"{quantity}, {SHORT_SETS[set_name].lower()}, {kind.replace('_', ' ')}",
        "curve",
        f=kind,
        g=set_name,
        row_labels=tuple(labels),
        column_labels=tuple(labels),
        values=values,
        standard_error=error,
        interval=interval,
        measure="cka" if quantity == "cka" else "stitched_accuracy",
        provenance=provenance(loaded),
    )


def provenance(loaded: PopulationResults) -> dict[str, Any]:
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


def models_words(loaded: PopulationResults) -> str:
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


def chunks_words(loaded: PopulationResults, sets: tuple[str, ...]) -> str:
    found = loaded.cka[sets[0]]
    return f"{found.n_chunks} chunks of {found.rows_per_chunk} rows" if found.n_chunks else ""


def features_words(params: PopulationParams) -> str:
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


def departures_words(params: PopulationParams) -> tuple[str, ...]:
    ours = (
        "The models are tiny BERTs trained on a template grammar; "
        "the paper's are 100 fine-tunings of bert-base on MNLI, measured on MNLI and HANS."
    )
    departures = [] if params.population == question.FEATHER else [ours]
    if params.rows != "padded":
        departures.append(
            "Padding is left out of the features; the paper pads to 512 tokens and counts padding as rows."
        )
    if params.circular:
        departures.append(
            "The models are ranked on the very pairs that they are measured on, which flatters the overlap panels."
        )
    if params.hook != "mlp_out":
        departures.append("Features are taken after the residual addition; the paper's before it.")
    return tuple(departures)
