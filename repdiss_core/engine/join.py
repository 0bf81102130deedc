"""The one place where pieces of results become stored results: batches in their order, everything else whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from repdiss_core.base.batches import BatchRows
from repdiss_core.base.comparison import Comparison
from repdiss_core.base.results import Stored
from repdiss_core.measures import result_type
from repdiss_core.store.entries import Entry

if TYPE_CHECKING:
    from repdiss_core.engine.checkpoint import CheckpointDir
    from repdiss_core.engine.shards import Shard

STORE_EVERY_S = 2.0

Found = dict[str, tuple[dict[str, np.ndarray], dict[str, Any]]]


def stored_here(store: Results, comparison: Comparison) -> Stored | None:
    """What the local cache holds of a comparison (shipped results are shown, but never mixed with local ones)."""
    entry = store.get_local(comparison.key)
    return None if entry is None else result_type(comparison).from_arrays(entry.arrays, entry.meta)


class Results(Protocol):
    """What a join needs of a store: `store.cache.ResultStore`, or the memory of one shard."""

    def get_local(self, key: str) -> Entry | None:
        """The entry computed on this machine."""

    def put(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep an entry in place of an older one."""

    def together(self) -> AbstractContextManager[None]:
        """Inside, entries are written in one transaction."""


class Join:
    """Extends what is stored of some comparisons.

    Args:
        store: where results go.
        comparisons: those whose pieces come.
        made: versions, device and date; asked for when something is stored.
    """

    def __init__(
        self, store: Results, comparisons: Iterable[Comparison], made: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self.store, self.made = store, made
        self._comparisons = {c.key: c for c in comparisons}
        self._rows = {key: _rows_here(store, c) for key, c in self._comparisons.items() if is_in_batches(c)}
        self._counts = {key: 0 if row is None else row.n_batches for key, row in self._rows.items()}
        self._fresh: dict[str, list[BatchRows]] = {key: [] for key in self._rows}
        self._stored_at = time.monotonic()

    def count(self, comparison: Comparison) -> int:
        """How many batches there are, those that wait to be stored included."""
        return self._counts[comparison.key]

    def counts(self) -> dict[str, int]:
        """The batches of every comparison by key."""
        return dict(self._counts)

    def add(self, comparison: Comparison, part: BatchRows) -> None:
        """The next batches of a comparison; they are stored with the next `flush`."""
        self._fresh[comparison.key].append(part)
        self._counts[comparison.key] += part.n_batches

    def put(self, comparison: Comparison, result: Stored) -> None:
        """A result that is not made of batches, or what is known of it so far, in place of what is stored."""
        self._put_whole(comparison, *result.to_arrays())

    def _put_whole(self, comparison: Comparison, arrays: dict[str, np.ndarray], plain: dict[str, Any]) -> None:
        provenance = {**plain.get("provenance", {}), **self.made()}
        self.store.put(comparison.key, arrays, {**plain, "comparison": comparison.to_dict(), "provenance": provenance})

    def flush(self, due: bool = False) -> None:
        """Store what has come; where `due`, only if the last time is two seconds ago."""
        if not any(self._fresh.values()) or (due and time.monotonic() - self._stored_at <= STORE_EVERY_S):
            return
        with self.store.together():
            for key, fresh in self._fresh.items():
                if fresh:
                    self._extend(key, fresh)
        self._stored_at = time.monotonic()

    def _extend(self, key: str, fresh: list[BatchRows]) -> None:
        row = self._rows[key]
        whole = type(fresh[0]).joined([*([] if row is None else [row]), *fresh])
        arrays, plain = whole.to_arrays()
        meta = {"comparison": self._comparisons[key].to_dict(), **plain, "provenance": self.made()}
        self.store.put(key, arrays, meta)
        self._rows[key], self._fresh[key] = whole, []


class ShardJoin(Join):
    """A join of shards that are computed elsewhere and come back in any order; one that must wait for an earlier one is
    kept on disk."""

    def __init__(self, store: Results, comparisons: Iterable[Comparison], checkpoints: CheckpointDir) -> None:
        self._provenance: dict[str, Any] = {}
        super().__init__(store, comparisons, lambda: self._provenance)
        self.checkpoints = checkpoints
        self.order: list[Shard] = []
        self.early: dict[str, Found] = {}

    def expect(self, shards: list[Shard]) -> list[Shard]:
        """Shards in the order in which they are joined; those that an interrupted run had finished are taken in, the
        others are handed back."""
        self.order, missing = [shard for shard in shards if shard.in_batches], []
        for shard in shards:
            saved = self.checkpoints.load(shard.key) if shard.in_batches else None
            if saved is None or "provenance" not in saved[1]:
                missing.append(shard)
            else:
                self.early[shard.key] = _unflattened(*saved)
        self._join_early()
        return missing

    def take(self, shard: Shard, found: Found) -> None:
        """A finished shard."""
        if not shard.in_batches:
            for comparison in shard.comparisons:
                self._provenance = {"engine": "ray"}
                self._put_whole(comparison, *found[comparison.key])
            return
        self.early[shard.key] = found
        if self.order and shard.key != self.order[0].key:
            self.checkpoints.save(shard.key, *_flattened(found))
        self._join_early()

    def _join_early(self) -> None:
        joined = []
        while self.order and self.order[0].key in self.early:
            joined.append(self.order.pop(0))
            self._take_rows(joined[-1], self.early.pop(joined[-1].key))
        self.flush()
        for shard in joined:
            self.checkpoints.discard(shard.key)

    def _take_rows(self, shard: Shard, found: Found) -> None:
        self._provenance = _joined(self._provenance, _provenance(found))
        for comparison in shard.comparisons:
            arrays, plain = found[comparison.key]
            part = result_type(comparison).from_arrays(arrays, plain)
            assert isinstance(part, BatchRows)
            self.add(comparison, part.between(self.count(comparison) - shard.first))


def is_in_batches(comparison: Comparison) -> bool:
    """Whether a comparison's result grows by batches, which can be computed apart and put one behind the other."""
    return issubclass(result_type(comparison), BatchRows)


def _flattened(found: Found) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {f"{key}/{name}": array for key, (named, _) in found.items() for name, array in named.items()}
    notes = {key: list(plain.get("notes", ())) for key, (_, plain) in found.items()}
    return arrays, {"notes": notes, "provenance": _provenance(found)}


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
    return next((plain["provenance"] for _, plain in found.values()), {})


def _joined(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Provenance of a result whose batches may come from different devices."""
    devices = dict.fromkeys(part for made in (known, new) for part in made.get("device", "").split(", ") if part)
    return {**known, **new, "device": ", ".join(devices), "engine": "ray"}


def rows_type(comparison: Comparison) -> type[BatchRows]:
    """The type of the result of a comparison that is made of batches."""
    kind = result_type(comparison)
    assert issubclass(kind, BatchRows)
    return kind


def _rows_here(store: Results, comparison: Comparison) -> BatchRows | None:
    rows = stored_here(store, comparison)
    assert rows is None or isinstance(rows, BatchRows)
    return rows
