"""Per-batch HSIC values of a group of comparisons: each model runs once a batch, each pair is multiplied once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from repdiss_core.activations import ActivationCache, batch_key, residual_streams
from repdiss_core.cache import ResultStore
from repdiss_core.comparison import Comparison, ModelId
from repdiss_core.engine.plan import FeatureGroup
from repdiss_core.errors import UserError
from repdiss_core.results import BatchHsic

STORE_EVERY_S = 2.0

Progress = Callable[[float, str], None]
ModelLoader = Callable[[ModelId, str], Any]


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

        batch = self.stream.batch(index)
        prepared: dict[tuple, Any] = {}
        for comparison in comparisons:
            sides = [self._prepared(prepared, m, comparison, batch, index) for m in (comparison.f, comparison.g)]
            cross = np.asarray(hsic_cross(*sides), dtype=np.float64)
            self._fresh[comparison.key].append(
                BatchHsic(
                    cross[None],
                    np.asarray(sides[0].self_hsic, dtype=np.float64)[None],
                    np.asarray(sides[1].self_hsic, dtype=np.float64)[None],
                    np.array([sides[0].n_tokens]),
                    notes=tuple(dict.fromkeys(f"{m.name}: {note}" for m, side in zip((comparison.f, comparison.g), sides) for note in side.notes)),
                )
            )

    def _prepared(self, prepared: dict[tuple, Any], model: ModelId, comparison: Comparison, batch: Any, index: int) -> Any:
        """The model's prepared layers for this batch: made once for all comparisons that read them alike."""
        from repdiss_core.measures.cka import flatten, prepare

        estimator, mode = comparison.setting("estimator", "unbiased"), comparison.setting("flatten", "token")
        streams = ("streams", model, comparison.resid_mean)
        if streams not in prepared:
            key = batch_key(model, comparison.data, comparison.hook, comparison.resid_mean, comparison.dtype, index)
            prepared[streams] = residual_streams(self.load(model, comparison.resid_mean), batch, key, self.activations)
        wanted = ("prepared", model, comparison.resid_mean, estimator, mode)
        if wanted not in prepared:
            try:
                layers = [flatten(h, mode, batch.mask) for h in prepared[streams]]
                ids = sequence_ids(batch, mode) if estimator == "sequence_aware" else None
                prepared[wanted] = prepare(layers, estimator=estimator, sequence_ids=ids)
            except UserError as error:
                raise UserError(f"{model.name}, batch {index + 1}: {error}") from error
        return prepared[wanted]

    def _count(self, comparison: Comparison) -> int:
        kept = self._kept[comparison.key]
        return kept.n_batches if kept is not None else 0

    def _store_all(self) -> None:
        for comparison in self.group.comparisons:
            fresh = self._fresh[comparison.key]
            if not fresh:
                continue
            whole = self._kept[comparison.key]
            whole = fresh[0] if whole is None else whole.extended(fresh[0])
            for more in fresh[1:]:
                whole = whole.extended(more)
            arrays = {name: getattr(whole, name) for name in ("cross", "self_f", "self_g", "n_tokens")}
            meta = {"comparison": comparison.to_dict(), "notes": list(whole.notes), "provenance": self.provenance}
            self.store.put(comparison.key, arrays, meta)
            self._kept[comparison.key], self._fresh[comparison.key] = whole, []


def stored_hsic(store: ResultStore, comparison: Comparison) -> BatchHsic | None:
    """What the local cache holds of a CKA comparison (shipped batches are shown, but never mixed with local ones)."""
    entry = store.get_local(comparison.key)
    if entry is None:
        return None
    arrays = (entry.arrays[name] for name in ("cross", "self_f", "self_g", "n_tokens"))
    return BatchHsic(*arrays, notes=tuple(entry.meta.get("notes", ())))


def sequence_ids(batch: Any, mode: str) -> np.ndarray:
    """(n,) which sequence each row of the flattened features belongs to."""
    b, t = batch.tokens.shape
    if mode == "sample":
        return np.arange(b)
    ids = np.repeat(np.arange(b), t)
    return ids if batch.mask is None else ids[batch.mask.reshape(-1)]
