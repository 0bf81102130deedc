"""The engine over a Ray cluster: Ray places, runs and retries the shards; this process alone joins and stores their results.

This process computes nothing and imports no torch: its workers begin that much earlier.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from repdiss_core import hub
from repdiss_core.base.comparison import Comparison
from repdiss_core.base.errors import UserError, told
from repdiss_core.base.results import BatchHsic, SameLayerHsic
from repdiss_core.engine.activations import ActivationCache
from repdiss_core.engine.feature_pass import Progress, Stopped, stored_hsic
from repdiss_core.engine.plan import FeatureGroup, Group, PopulationGroup
from repdiss_core.engine.population_pass import stored_same_layers
from repdiss_core.engine.ray_cluster import RaySetting, connected
from repdiss_core.engine.run import Engine, use_all_cores
from repdiss_core.engine.shards import Found, Shard, compute_shard, in_batches, shards_of
from repdiss_core.store.cache import ResultStore

RETRIES = 3  # of a shard whose worker or machine was lost
POLL_S = 0.2
ENGINES = ("local", "ray")


def make_engine(
    store: ResultStore, report: Callable[[str], None], name: str = "", setting: RaySetting | None = None
) -> Engine:
    """The engine of that name, or the one that `REPDISS_ENGINE` names: "local" (default) or "ray"."""
    name = name or os.environ.get("REPDISS_ENGINE") or "local"
    if name not in ENGINES:
        raise UserError(f"There is no engine {name!r}; REPDISS_ENGINE and --engine are {' or '.join(ENGINES)}.")
    if name == "ray":
        return RayEngine(store, setting or RaySetting.from_environment(), report)
    use_all_cores()
    return Engine(store, report=report)


class RayEngine(Engine):
    """Computes as `Engine` does; the values have the same bytes as those of one process with `threads` threads."""

    def __init__(
        self, store: ResultStore, setting: RaySetting, report: Callable[[str], None] = lambda line: None
    ) -> None:
        super().__init__(store, ActivationCache(budget_bytes=0), report)
        self.setting = setting

    def _run_in_memory(self, group: Group, n_batches: int, progress: Progress, should_stop: Callable[[], bool]) -> None:
        """Nothing is held in this process; what does not fit into a worker's memory is told by the worker."""
        self._run_group(group, n_batches, progress, should_stop)

    def _run_group(self, group: Group, n_batches: int, progress: Progress, should_stop: Callable[[], bool]) -> None:
        if in_batches(group):
            _check_length(self.stream(group.data), n_batches)
        join = _Join(self, group, n_batches)
        waiting = join.restored()
        progress(0.0, "asking Ray for workers")
        ray = connected(self.setting, self.report)
        # A process that has begun on one GPU cannot move to another: where shards have GPUs, each has a process of its own.
        task = ray.remote(
            num_cpus=self.setting.threads, num_gpus=self.setting.gpus, max_calls=1 if self.setting.gpus else 0, max_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )(compute_shard)  # fmt: skip
        told = ray.put(hub.everything())  # revisions and facts of the hub, for machines that never asked it
        running = {
            task.remote(shard.to_dict(), self.setting.threads, self.setting.gpus > 0, told): shard for shard in waiting
        }
        total = len(running)
        try:
            while running:
                ready, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL_S)
                for reference in ready:
                    join.add(running.pop(reference), _result(ray, reference))
                    progress(1 - len(running) / total, f"shard {total - len(running)} of {total} on Ray")
                if should_stop():
                    raise Stopped
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


class _Join:
    """Puts shards together in their order and stores what is known so far; a shard that must wait for an earlier one is kept on disk."""

    def __init__(self, engine: RayEngine, group: Group, n_batches: int) -> None:
        self.engine, self.group = engine, group
        self.made: dict[str, Any] = {}
        self.kept: dict[str, Any] = {c.key: self._stored(c) for c in group.comparisons} if in_batches(group) else {}
        counts = {key: 0 if kept is None else kept.n_batches for key, kept in self.kept.items()}
        self.order = shards_of(group, counts, n_batches, engine.setting.gpus > 0)
        self.early: dict[str, Found] = {}

    def restored(self) -> list[Shard]:
        """Takes in the shards that an interrupted run had finished; returns the others."""
        missing = []
        for shard in list(self.order):
            saved = self.engine.checkpoints.load(shard.key) if in_batches(self.group) else None
            if saved is None or "provenance" not in saved[1]:
                missing.append(shard)
            else:
                self.early[shard.key] = _unflattened(*saved)
        self._join_early()
        return missing

    def add(self, shard: Shard, found: Found) -> None:
        """A finished shard."""
        if not in_batches(self.group):
            for comparison in shard.comparisons:
                arrays, meta = found[comparison.key]
                made = {**meta.get("provenance", {}), "engine": "ray"}
                self.engine.store.put(
                    comparison.key, arrays, {**meta, "comparison": comparison.to_dict(), "provenance": made}
                )
            return
        self.early[shard.key] = found
        if self.order and shard.key != self.order[0].key:
            self.engine.checkpoints.save(shard.key, *_flattened(found))
        self._join_early()

    def _join_early(self) -> None:
        joined = []
        while self.order and self.order[0].key in self.early:
            joined.append(self.order.pop(0))
            self._extend(joined[-1], self.early.pop(joined[-1].key))
        with self.engine.store.together():
            for comparison in {c.key: c for shard in joined for c in shard.comparisons}.values():
                whole = self.kept[comparison.key]
                arrays = whole.to_arrays()
                arrays = arrays[0] if isinstance(arrays, tuple) else arrays
                meta = {"comparison": comparison.to_dict(), "notes": list(whole.notes), "provenance": self.made}
                self.engine.store.put(comparison.key, arrays, meta)
        for shard in joined:
            self.engine.checkpoints.discard(shard.key)

    def _extend(self, shard: Shard, found: Found) -> None:
        self.made = _joined(self.made, _provenance(found))
        kind = BatchHsic if isinstance(self.group, FeatureGroup) else SameLayerHsic
        for comparison in shard.comparisons:
            arrays, meta = found[comparison.key]
            kept = self.kept[comparison.key]
            known = (kept.n_batches if kept is not None else 0) - shard.first
            later = {name: array[known:] for name, array in arrays.items()}
            notes = tuple(meta.get("notes", ()))
            part = (
                BatchHsic.from_arrays(later, notes)
                if kind is BatchHsic
                else SameLayerHsic.from_arrays(later, {"notes": notes})
            )
            if kept is None:
                self.kept[comparison.key] = part
            else:
                self.kept[comparison.key] = kind.joined([kept, part])

    def _stored(self, comparison: Comparison) -> Any:
        load = stored_same_layers if isinstance(self.group, PopulationGroup) else stored_hsic
        return load(self.engine.store, comparison)


def _result(ray: Any, reference: Any) -> Found:
    """What a shard found.

    Raises:
        UserError: its own sentence, or one on a worker that was lost again and again.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
    except ray.exceptions.RayError as error:
        raise UserError(
            f"A shard was lost {RETRIES + 1} times ({told(error)}). What was finished is kept; see the cluster's logs, then run it again."
        ) from error


def _check_length(stream: Any, n_batches: int) -> None:
    if stream.n_batches < n_batches:
        d = stream.data_id
        raise UserError(
            f"{d.name}/{d.split} holds {stream.n_batches} batches; {n_batches} were asked for. Ask for at most {stream.n_batches}."
        )


def _flattened(found: Found) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {f"{key}/{name}": array for key, (named, _) in found.items() for name, array in named.items()}
    return arrays, {
        "notes": {key: list(meta.get("notes", ())) for key, (_, meta) in found.items()},
        "provenance": _provenance(found),
    }


def _unflattened(arrays: dict[str, Any], plain: dict[str, Any]) -> Found:
    named: dict[str, dict[str, Any]] = {}
    for path, array in arrays.items():
        key, _, name = path.partition("/")
        named.setdefault(key, {})[name] = array
    return {
        key: (named[key], {"notes": notes, "provenance": plain["provenance"]}) for key, notes in plain["notes"].items()
    }


def _provenance(found: Found) -> dict[str, Any]:
    """Versions and device of the worker, the same for all results of a shard."""
    return next((meta["provenance"] for _, meta in found.values()), {})


def _joined(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Provenance of a result whose batches may come from different devices."""
    devices = dict.fromkeys(part for made in (known, new) for part in made.get("device", "").split(", ") if part)
    return {**known, **new, "device": ", ".join(devices), "engine": "ray"}
