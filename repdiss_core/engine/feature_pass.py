"""Per-batch HSIC values of a group of comparisons: each model runs once a batch, each pair is multiplied once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import BatchHsic
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.batch_features import BatchFeatures, ModelLoader
from repdiss_core.engine.plan import FeatureGroup
from repdiss_core.store.cache import ResultStore

STORE_EVERY_S = 2.0

Progress = Callable[[float, str], None]


class Stopped(Exception):
    """The computation was asked to stop; what was finished is stored."""


class FeaturePass:
    """Runs one `FeatureGroup` up to `n_batches`, storing partial results every two seconds.

    Args:
        load: (model, resid_mean) -> ResidualModel.
        stream: the group's token stream.
        provenance: what goes into every stored result.
    """

    def __init__(
        self,
        group: FeatureGroup,
        n_batches: int,
        store: ResultStore,
        activations: ActivationCache,
        load: ModelLoader,
        stream: Any,
        provenance: dict[str, Any],
    ) -> None:
        self.group, self.n_batches, self.store, self.activations = group, n_batches, store, activations
        self.load, self.stream, self.provenance = load, stream, provenance
        self._kept: dict[str, BatchHsic | None] = {c.key: stored_hsic(store, c) for c in group.comparisons}
        self._fresh: dict[str, list[BatchHsic]] = {c.key: [] for c in group.comparisons}
        if stream.n_batches < n_batches:
            raise UserError(
                f"{group.data.name}/{group.data.split} holds {stream.n_batches} batches of {group.data.tokens_per_batch} tokens; "
                f"{n_batches} were asked for. Ask for at most {stream.n_batches}."
            )

    def run(self, progress: Progress, should_stop: Callable[[], bool]) -> None:
        """Measure every missing batch.

        Raises:
            Stopped: after storing what was finished.
        """
        counts = {c.key: self._count(c) for c in self.group.comparisons}
        first = min(counts.values())
        stored_at = time.monotonic()
        for index in range(first, self.n_batches):
            if should_stop():
                self._store_all()
                raise Stopped
            self._measure_batch(index, [c for c in self.group.comparisons if counts[c.key] <= index])
            if time.monotonic() - stored_at > STORE_EVERY_S:
                self._store_all()
                stored_at = time.monotonic()
            progress((index + 1 - first) / max(1, self.n_batches - first), f"batch {index + 1} of {self.n_batches}")
        self._store_all()

    def _measure_batch(self, index: int, comparisons: list[Comparison]) -> None:
        from repdiss_core.measures.cka import hsic_cross

        features = BatchFeatures(self.stream.batch(index), index, self.load, self.activations)
        for comparison in comparisons:
            sides, massive = features.sides(comparison)
            names = (comparison.f.name, comparison.g.name)
            self._fresh[comparison.key].append(
                BatchHsic(
                    np.asarray(hsic_cross(*sides), dtype=np.float64)[None],
                    np.asarray(sides[0].self_hsic, dtype=np.float64)[None],
                    np.asarray(sides[1].self_hsic, dtype=np.float64)[None],
                    np.array([sides[0].n_tokens]),
                    notes=tuple(
                        dict.fromkeys(
                            f"{name}: {note}" for name, side in zip(names, sides, strict=True) for note in side.notes
                        )
                    ),
                    massive={name: a[None] for name, a in massive.items()},
                )
            )

    def _count(self, comparison: Comparison) -> int:
        kept = self._kept[comparison.key]
        return kept.n_batches if kept is not None else 0

    def _store_all(self) -> None:
        if not any(self._fresh.values()):
            return
        with self.store.together():
            self._store_each()

    def _store_each(self) -> None:
        for comparison in self.group.comparisons:
            fresh = self._fresh[comparison.key]
            if not fresh:
                continue
            kept = self._kept[comparison.key]
            whole = BatchHsic.joined([*([] if kept is None else [kept]), *fresh])
            meta = {"comparison": comparison.to_dict(), "notes": list(whole.notes), "provenance": self.provenance}
            self.store.put(comparison.key, whole.to_arrays(), meta)
            self._kept[comparison.key], self._fresh[comparison.key] = whole, []


def stored_hsic(store: ResultStore, comparison: Comparison) -> BatchHsic | None:
    """What the local cache holds of a CKA comparison (shipped batches are shown, but never mixed with local ones)."""
    entry = store.get_local(comparison.key)
    if entry is None:
        return None
    return BatchHsic.from_arrays(entry.arrays, tuple(entry.meta.get("notes", ())))
