"""The maps of a family as far as they are stored: one matrix for all layers of all members,
cut into what figures need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repdiss_core.measures.reduction import pseudo_values
from repdiss_core.store.cache import ResultStore
from repdiss_core.studies.panels import MatrixPanel, load_hsic
from repdiss_core.studies.population import Origin


@dataclass(frozen=True, eq=False)
class PairMap:
    """One stored map, batch by batch.

    Args:
        values: (B, L_f, L_g) pseudo-values of CKA: their mean is the value, their spread its jackknife error; any
            average of cells averages them the same way.
        peaks: ((L_f,), (L_g,)) longest row over the median row, the largest of all batches; None where it was not
            measured.
        dropped: rows left out, of `rows` that there were.
        tokens: ids of the tokens that were dropped for f and for g, with how often each was among the most massive of a
            batch.
    """

    values: np.ndarray
    peaks: tuple[np.ndarray, np.ndarray] | None
    dropped: int
    rows: int
    tokens: tuple[dict[int, int], dict[int, int]]

    @property
    def mean(self) -> np.ndarray:
        """(L_f, L_g) CKA."""
        return self.values.mean(axis=0)

    def transposed(self) -> PairMap:
        """The same seen from g."""
        peaks = None if self.peaks is None else (self.peaks[1], self.peaks[0])
        return PairMap(self.values.transpose(0, 2, 1), peaks, self.dropped, self.rows, (self.tokens[1], self.tokens[0]))


@dataclass(frozen=True, eq=False)
class FamilyMaps:
    """What is stored of a family.

    Args:
        members: names, small ones first.
        depths: layers of each member.
        pairs: {(f, g): map}; each unordered pair once.
        n_batches: the fewest batches behind any map; 0 where one is missing.
        wanted: pairs asked for, of which `origin.n_missing` are missing or too short.
        tokens_per_batch: rows of a batch.
    """

    members: tuple[str, ...]
    depths: tuple[int, ...]
    pairs: dict[tuple[str, str], PairMap]
    n_batches: int
    wanted: int
    origin: Origin
    tokens_per_batch: int

    @property
    def complete(self) -> bool:
        """Whether every map is there."""
        return self.origin.n_missing == 0

    def map(self, f: str, g: str) -> PairMap | None:
        """The map of f (rows) against g (columns), or None where it is not stored."""
        if (f, g) in self.pairs:
            return self.pairs[f, g]
        found = self.pairs.get((g, f))
        return None if found is None else found.transposed()

    def means(self) -> np.ndarray:
        """(M, M) mean of each map; within a model the mean over pairs of different layers. NaN where a map is
        missing."""
        n = len(self.members)
        found = np.full((n, n), np.nan)
        for i, f in enumerate(self.members):
            for j, g in enumerate(self.members):
                one = self.map(f, g)
                if one is not None:
                    found[i, j] = off_diagonal_mean(one.mean) if i == j else one.mean.mean()
        return found

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """((N, N) every layer of every member against every other, the same for standard errors);
        NaN where a map is missing."""
        ends = np.cumsum((0, *self.depths))
        values, error = (np.full((ends[-1], ends[-1]), np.nan) for _ in range(2))
        for i, f in enumerate(self.members):
            for j, g in enumerate(self.members):
                one = self.map(f, g)
                if one is not None:
                    place = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
                    values[place] = one.mean
                    error[place] = (
                        one.values.std(axis=0, ddof=1) / np.sqrt(len(one.values)) if len(one.values) > 1 else np.nan
                    )
        return values, error


def load_family(
    store: ResultStore,
    members: tuple[str, ...],
    depths: tuple[int, ...],
    panels: tuple[MatrixPanel, ...],
    n_batches: int,
    reduction: str,
) -> FamilyMaps:
    """Everything that is stored of these panels, from at most `n_batches` batches each."""
    found: dict[tuple[str, str], PairMap] = {}
    entries, counts = [], []
    per_batch = panels[0].comparison.data.tokens_per_batch
    for panel in panels:
        batches, entry = load_hsic(store, panel.comparison, n_batches)
        if batches is None or entry is None or batches.n_batches == 0:
            continue
        batches = batches.first(n_batches)
        batches = batches.transposed() if panel.swapped else batches
        peaks = (
            (batches.massive["peak_f"].max(axis=0), batches.massive["peak_g"].max(axis=0))
            if "peak_f" in batches.massive
            else None
        )
        rows = per_batch * batches.n_batches
        tokens = _counted(batches.massive.get("tokens_f")), _counted(batches.massive.get("tokens_g"))
        found[panel.row_name, panel.column_name] = PairMap(
            pseudo_values(batches, reduction), peaks, rows - int(batches.n_tokens.sum()), rows, tokens
        )
        entries.append(entry)
        counts.append(batches.n_batches)
    missing = len(panels) - len(found) + sum(count < n_batches for count in counts)
    return FamilyMaps(
        members,
        depths,
        found,
        min(counts) if len(found) == len(panels) else 0,
        len(panels),
        Origin.of(entries, missing),
        per_batch,
    )


def off_diagonal_mean(matrix: np.ndarray) -> float:
    """Mean over pairs of different layers of one model; NaN for a model of one layer."""
    off = ~np.eye(len(matrix), dtype=bool)
    return float(matrix[off].mean()) if off.any() else float("nan")


def _counted(ids: np.ndarray | None) -> dict[int, int]:
    if ids is None:
        return {}
    known, counts = np.unique(ids[ids >= 0], return_counts=True)
    return {int(i): int(n) for i, n in sorted(zip(known, counts, strict=True), key=lambda pair: -pair[1])}
