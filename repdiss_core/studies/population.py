"""What the cache holds of a population: CKA of all pairs by layer,
and accuracies after stitching of all ordered pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.results import SameLayerHsic
from repdiss_core.measures.reduction import reduce_same_layers
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry, origin_and_time


@dataclass(frozen=True, eq=False)
class Origin:
    """Where stored results come from: "shipped", "local", "mixed" or None; when the newest was made;
    how many are missing."""

    origin: str | None
    stored_at: float | None
    n_missing: int

    @classmethod
    def of(cls, entries: list[Entry], n_missing: int) -> Origin:
        """Of what was found and what was not."""
        return cls(*origin_and_time(entries), n_missing)


@dataclass(frozen=True, eq=False)
class PopulationCka:
    """CKA of equal layers for all pairs.

    Args:
        models: names, in the order of rows and columns.
        values: (M, M, L), symmetric, 1 on the diagonal, NaN where a pair is not computed.
        n_chunks: the fewest chunks behind any pair.
        rows_per_chunk: feature rows in a chunk.
        notes: why a layer has no value.
    """

    models: tuple[str, ...]
    values: np.ndarray
    n_chunks: int
    rows_per_chunk: int
    origin: Origin
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every pair is there."""
        return self.origin.n_missing == 0

    def of(self, models: Iterable[str]) -> np.ndarray:
        """(m, m, L) the values of some models, in their order."""
        chosen = [self.models.index(name) for name in models]
        return self.values[np.ix_(chosen, chosen)]


@dataclass(frozen=True, eq=False)
class PopulationAccuracy:
    """Accuracy after identity stitching.

    Args:
        models: names, in the order of both first axes.
        values: (M, M, L+1) accuracy of f (first axis, bottom) under g at cut 0 … L; the models' own on the diagonal.
        own: (M,) each model's own accuracy on the same items.
        n_items: pairs of sentences classified.
    """

    models: tuple[str, ...]
    values: np.ndarray
    own: np.ndarray
    n_items: int
    origin: Origin

    @property
    def complete(self) -> bool:
        """Whether every ordered pair is there."""
        return self.origin.n_missing == 0

    @property
    def penalty(self) -> np.ndarray:
        """(M, M, L+1) g's own accuracy minus that of the stitched model: above 0 the stitch costs."""
        return self.own[None, :, None] - self.values


def load_cka(
    store: ResultStore, pairs: Mapping[tuple[str, str], Comparison], n_chunks: int, reduction: str = "mean_of_ratios"
) -> PopulationCka:
    """What is stored of these pairs, from at most `n_chunks` chunks each.

    Args:
        reduction: "mean_of_ratios" (the paper's) or "ratio_of_means".
    """
    models = _names(pairs)
    found: dict[tuple[str, str], np.ndarray] = {}
    entries, counts, rows = [], [], []
    notes: list[str] = []
    for pair, comparison in pairs.items():
        entry = _longest(store, comparison, n_chunks)
        if entry is None:
            continue
        batches = SameLayerHsic.from_arrays(entry.arrays, entry.meta)
        found[pair] = reduce_same_layers(batches, n_chunks, reduction)
        entries.append(entry)
        counts.append(min(batches.n_batches, n_chunks))
        rows.append(int(batches.n_tokens[0]))
        notes += batches.notes
    depth = len(next(iter(found.values()))) if found else 0
    values = np.full((len(models), len(models), depth), np.nan)
    values[np.arange(len(models)), np.arange(len(models))] = 1.0
    for (f, g), cka in found.items():
        i, j = models.index(f), models.index(g)
        values[i, j] = values[j, i] = cka
    missing = sum(pair not in found for pair in pairs) + sum(count < n_chunks for count in counts)
    return PopulationCka(
        models,
        values,
        min(counts, default=0),
        max(rows, default=0),
        Origin.of(entries, missing),
        tuple(dict.fromkeys(notes)),
    )


def load_accuracy(store: ResultStore, pairs: Mapping[tuple[str, str], Comparison]) -> PopulationAccuracy:
    """What is stored of these ordered pairs."""
    models = _names(pairs)
    found: dict[tuple[str, str], Entry] = {}
    for pair, comparison in pairs.items():
        entry = store.get_local(comparison.key) or store.get_shipped(comparison.key)
        if entry is not None:
            found[pair] = entry
    n_cuts = len(next(iter(found.values())).arrays["correct"]) if found else 0
    values, own = np.full((len(models), len(models), n_cuts), np.nan), np.full(len(models), np.nan)
    n_items = 0
    for (f, g), entry in found.items():
        i, j = models.index(f), models.index(g)
        values[i, j] = entry.arrays["correct"].mean(axis=1)
        own[i], own[j] = entry.arrays["own_f"].mean(), entry.arrays["own_g"].mean()
        n_items = entry.arrays["own_f"].size
    values[np.arange(len(models)), np.arange(len(models))] = own[:, None]
    return PopulationAccuracy(models, values, own, n_items, Origin.of(list(found.values()), len(pairs) - len(found)))


def _longest(store: ResultStore, comparison: Comparison, wanted: int) -> Entry | None:
    """The local entry if it reaches what is wanted, else the one with more chunks."""
    local, shipped = store.get_local(comparison.key), store.get_shipped(comparison.key)
    if local is None or shipped is None:
        return local or shipped
    reach = len(shipped.arrays["n_tokens"])
    return local if len(local.arrays["n_tokens"]) >= min(wanted, reach) else shipped


def _names(pairs: Mapping[tuple[str, str], Comparison]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for pair in pairs for name in pair))
