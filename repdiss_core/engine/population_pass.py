"""All pairs of a population in one pass: CKA of equal layers, or accuracy after identity stitching at every cut.

Each model runs once a batch, whatever the number of pairs; only same-layer products are formed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from repdiss_core.base.comparison import Comparison, ModelId
from repdiss_core.base.errors import UserError
from repdiss_core.base.results import SameLayerHsic
from repdiss_core.engine.accuracy_pass import single_threaded
from repdiss_core.engine.feature_pass import STORE_EVERY_S, Progress, Stopped
from repdiss_core.engine.plan import PopulationGroup
from repdiss_core.store.cache import ResultStore

Load = Callable[[ModelId, str], Any]


def run_population(
    group: PopulationGroup,
    n_batches: int,
    store: ResultStore,
    load: Load,
    stream: Any,
    provenance: dict[str, Any],
    progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Compute what the store lacks of a group.

    Raises:
        Stopped: after storing what was finished.
        UserError: the models or the data do not fit.
    """
    if group.measure == "cka":
        _PopulationCka(group, n_batches, store, load, stream, provenance).run(progress, should_stop)
        return
    from repdiss_core.engine.accuracy_pass import run_accuracies

    def keep(comparison: Comparison, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        store.put(comparison.key, arrays, {**meta, "comparison": comparison.to_dict(), "provenance": provenance})

    resid_mean = group.comparisons[0].resid_mean
    run_accuracies(group.comparisons, lambda m: load(m, resid_mean), stream, keep, progress, should_stop)
    if should_stop():
        raise Stopped


def stored_same_layers(store: ResultStore, comparison: Comparison) -> SameLayerHsic | None:
    """What the local cache holds of a same-layer comparison."""
    entry = store.get_local(comparison.key)
    return None if entry is None else SameLayerHsic.from_arrays(entry.arrays, entry.meta)


class _PopulationCka:
    """Same-layer HSIC of every pair of a group, batch by batch."""

    def __init__(
        self,
        group: PopulationGroup,
        n_batches: int,
        store: ResultStore,
        load: Load,
        stream: Any,
        provenance: dict[str, Any],
    ) -> None:
        self.group, self.n_batches, self.store, self.stream, self.provenance = (
            group,
            n_batches,
            store,
            stream,
            provenance,
        )
        first = group.comparisons[0]
        if stream.n_batches < n_batches:
            raise UserError(
                f"{group.data.name}/{group.data.split} holds {stream.n_batches} chunks of feature rows; {n_batches} were asked for. "
                f"Ask for at most {stream.n_batches}."
            )
        self.models = {m: load(m, first.resid_mean) for m in group.models}
        from repdiss_core.measures.products import Workspace

        self.workspaces = {m: Workspace() for m in self.models}
        self.estimator, self.hook = str(first.setting("estimator", "unbiased")), first.hook
        self.kept = {c.key: stored_same_layers(store, c) for c in group.comparisons}
        self.fresh: dict[str, list[SameLayerHsic]] = {c.key: [] for c in group.comparisons}
        depths = {m.n_layers: m.name for m in self.models.values()}
        if len(depths) > 1:
            told = " and ".join(f"{name} {n}" for n, name in sorted(depths.items()))
            raise UserError(
                f"The distance of equation (2) pairs layer l with layer l, but the models differ in depth ({told} layers). Choose models of one depth."
            )

    def run(self, progress: Progress, should_stop: Callable[[], bool]) -> None:
        counts = {key: kept.n_batches if kept is not None else 0 for key, kept in self.kept.items()}
        first, stored_at = min(counts.values()), time.monotonic()
        for index in range(first, self.n_batches):
            if should_stop():
                self._store()
                raise Stopped
            self._measure(index, [c for c in self.group.comparisons if counts[c.key] <= index])
            if time.monotonic() - stored_at > STORE_EVERY_S:
                self._store()
                stored_at = time.monotonic()
            progress(
                (index + 1 - first) / max(1, self.n_batches - first),
                f"{len(self.models)} models, chunk {index + 1} of {self.n_batches}",
            )
        self._store()

    def _measure(self, index: int, comparisons: list[Comparison]) -> None:
        import torch

        from repdiss_core.measures.cka import hsic_same_layers, prepare
        from repdiss_core.measures.gram import full_float32

        batch = self.stream.batch(index)
        wanted = [m for m in self.models if any(m in (c.f, c.g) for c in comparisons)]

        def prepared_model(m: ModelId) -> Any:
            self.workspaces[m].reset()
            return prepare(
                feature_rows(self.models[m], batch, self.hook), estimator=self.estimator, workspace=self.workspaces[m]
            )

        # Models and pairs are many and small: each has one thread, and the outer setting holds while inner ones come and go.
        with (
            full_float32(torch.device(str(getattr(self.models[wanted[0]], "device", "cpu")))),
            single_threaded() as n_threads,
            ThreadPoolExecutor(n_threads) as pool,
        ):
            prepared = dict(zip(wanted, pool.map(prepared_model, wanted), strict=True))
            crosses = list(pool.map(lambda c: hsic_same_layers(prepared[c.f], prepared[c.g]), comparisons))
        for c, cross in zip(comparisons, crosses, strict=True):
            f, g = prepared[c.f], prepared[c.g]
            notes = tuple(dict.fromkeys(f"{m.name}: {note}" for m, side in ((c.f, f), (c.g, g)) for note in side.notes))
            parts = (cross, f.self_hsic, g.self_hsic, np.array(f.n_tokens))
            self.fresh[c.key].append(SameLayerHsic(*(np.asarray(part)[None] for part in parts), notes=notes))

    def _store(self) -> None:
        with self.store.together():
            for comparison in self.group.comparisons:
                self._store_one(comparison)

    def _store_one(self, comparison: Comparison) -> None:
        fresh = self.fresh[comparison.key]
        if not fresh:
            return
        kept = self.kept[comparison.key]
        whole = SameLayerHsic.joined(([kept] if kept is not None else []) + fresh)
        arrays, meta = whole.to_arrays()
        self.store.put(
            comparison.key, arrays, {**meta, "comparison": comparison.to_dict(), "provenance": self.provenance}
        )
        self.kept[comparison.key], self.fresh[comparison.key] = whole, []


def feature_rows(model: Any, batch: Any, hook: str) -> list[Any]:
    """[(n, d)] features of layer 1 … L at the positions that the batch chooses."""
    import torch

    layers = model.features(batch, hook) if hasattr(model, "features") else model.residuals(batch)
    rows = batch.rows if batch.rows is not None else batch.mask
    if rows is None:
        return [h.reshape(-1, h.shape[-1]) for h in layers]
    chosen = torch.from_numpy(np.ascontiguousarray(rows))
    return [h[chosen] for h in layers]
