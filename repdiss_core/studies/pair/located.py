"""From which layer on two models of one architecture differ, how much, and whether few tokens decide it, in words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from repdiss_core.base.results import LayerMatrix
from repdiss_core.measures import spec_of
from repdiss_core.measures.massive import MULTIPLE
from repdiss_core.models import model_spec
from repdiss_core.models.same_weights import SAME_FILES, same_weights
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.deciding_rows import layer_words
from repdiss_core.studies.panels import MatrixPanel, load_matrix

ROUNDING = 1e-6  # a value this near to that of equal features is rounding
FACTOR = 2.0  # between the differences with and without massive tokens, from which on few tokens decide how large


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Each layer against the layer of the same number.

    Args:
        values: (L,).
        interval: (2, L).
        labels: (L,) names of the layers.
        short: the measure in a word.
    """

    values: np.ndarray
    interval: np.ndarray
    labels: tuple[str, ...]
    short: str

    @property
    def differing(self) -> np.ndarray:
        """Indices of the layers whose value is further from 1 than rounding explains."""
        return np.flatnonzero(1.0 - self.values > ROUNDING)

    def said(self, index: int) -> str:
        """A layer's value with its interval."""
        value, (low, high) = self.values[index], self.interval[:, index]
        digits = 3 if value < 0.99 else min(9, 2 - math.floor(math.log10(max(1.0 - value, 1e-8))))
        known = f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) else ""
        return f"{value:.{digits}f}{known}"


def are_alike(name_f: str, name_g: str) -> bool:
    """Whether two models are of one architecture: same blocks, depth and width."""
    f, g = (model_spec(name) for name in (name_f, name_g))
    shapes = [(s.n_layers, s.d_model, s.n_heads, re.split("[,;]", s.architecture)[0]) for s in (f, g)]
    return name_f != name_g and shapes[0] == shapes[1]


def located(store: ResultStore, panel: MatrixPanel, reduction: str, n_batches: int) -> str:
    """Where two models differ, from the stored map between them; "" for models of different architectures, for one
    model with itself, for a measure whose value for equal features is not exactly 1, and where nothing is stored.

    Args:
        panel: the map of one model's layers against the other's.
    """
    names, spec = (panel.row_name, panel.column_name), spec_of(panel.comparison)
    if not are_alike(*names) or spec.self_value != 1.0 or spec.self_tolerance:
        return ""
    same = same_weights(*names)
    both = f"{names[0]} and {names[1]}"
    if same == SAME_FILES:
        return f"{both} have identical weights: the hashes of their files agree."
    matrix = load_matrix(store, panel, reduction, n_batches).matrix
    if matrix is None:
        return ""
    diagonal = diagonal_of(matrix, spec.short)
    if not np.isfinite(diagonal.values).all():
        return ""
    if not len(diagonal.differing):
        if same:
            return f"{both} have identical weights: every tensor is equal, though the hashes of their files differ."
        apart = max(0.0, float((1.0 - diagonal.values).max()))
        return (
            f"{both} show no difference beyond rounding in any layer: 1 − {spec.short} on the diagonal is at most "
            f"{apart:.0e}.{_few_tokens(store, panel, reduction, n_batches, diagonal)}"
        )
    return f"{both} {_where(diagonal)}{_few_tokens(store, panel, reduction, n_batches, diagonal)}"


def diagonal_of(matrix: LayerMatrix, short: str) -> Diagonal:
    """The diagonal of a map of two models of one depth."""
    at = np.arange(len(matrix.values))
    return Diagonal(matrix.values[at, at], matrix.interval[:, at, at], matrix.row_labels, short)


def _where(diagonal: Diagonal) -> str:
    """The predicate of the sentence: from which layer on, and by how much."""
    layers, last = diagonal.differing, len(diagonal.values) - 1
    first, lowest = int(layers[0]), int(diagonal.values.argmin())
    labels = [int(label) for label in diagonal.labels]
    onwards = len(layers) == last + 1 - first
    words = f"from layer {labels[first]} on" if onwards else f"in {layer_words(labels[i] for i in layers)} alone"
    if onwards and first == last:
        words = f"in layer {labels[first]}, the last, alone"
    before = f"1 up to layer {labels[first - 1]} and " if first else ""
    least = "" if lowest == first else f"; it is lowest in layer {labels[lowest]}, {diagonal.said(lowest)}"
    return (
        f"differ {words}: {diagonal.short} on the diagonal is {before}{diagonal.said(first)} in layer "
        f"{labels[first]}{least}."
    )


def _few_tokens(store: ResultStore, panel: MatrixPanel, reduction: str, n_batches: int, here: Diagonal) -> str:
    """Whether the map of the other treatment of massive tokens says the same, where it is stored; else ""."""
    other = _other_treatment(panel)
    matrix = None if other is None else load_matrix(store, other, reduction, n_batches).matrix
    if other is None or matrix is None or not np.isfinite(matrix.values).all():
        return ""
    there = diagonal_of(matrix, here.short)
    words = "Without massive tokens" if other.comparison.setting("massive") == "dropped" else "With massive tokens"
    firsts = [int(one.differing[0]) if len(one.differing) else None for one in (here, there)]
    if firsts == [None, None]:
        return f" {words} there is none either."
    if firsts[0] != firsts[1]:
        found = "there is none" if firsts[1] is None else f"they {_where(there).rstrip('.')}"
        return f" {words} {found}: few tokens decide it."
    assert firsts[0] is not None
    sizes = [1.0 - one.values[firsts[0]] for one in (here, there)]
    decide = max(sizes) > FACTOR * min(sizes)
    verdict = "few tokens decide by how much" if decide else "few tokens do not decide it"
    return (
        f" {words} they differ from the same layer on, with {there.said(firsts[0])} in layer "
        f"{there.labels[firsts[0]]}: {verdict}."
    )


def _other_treatment(panel: MatrixPanel) -> MatrixPanel | None:
    """The same map without massive tokens where it has them, and with them where it has not; None where rows are scaled
    to length 1 or are no tokens."""
    settings = dict(panel.comparison.settings)
    if settings.get("flatten", "token") != "token" or settings.get("massive") == "normalised":
        return None
    if settings.pop("massive", None) is None:
        settings |= {"massive": "dropped", "massive_multiple": MULTIPLE}
    else:
        settings.pop("massive_multiple", None)
    return replace(panel, comparison=replace(panel.comparison, settings=tuple(settings.items())))
