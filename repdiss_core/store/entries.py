"""Entries of the result store: what one holds, how one is told from another's, and the packs of shipped ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from repdiss_core.base.comparison import Comparison
from repdiss_core.store.storage import DamagedEntry, checksum, modified_ns, write_atomically


@dataclass(frozen=True, eq=False)
class Entry:
    """One stored result: arrays, plain values, where it comes from ("local" or "shipped") and when it was made."""

    key: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    origin: str
    stored_at: float


class PackIndex:
    """Shipped or imported results: each pack is one safetensors file with many entries, named `key/array`."""

    def __init__(self, directory: Path, problems: list[str], origin: str = "shipped") -> None:
        self._directory = directory
        self._problems = problems
        self._origin = origin
        self._seen = -1  # when the directory had last changed
        self._index: dict[str, tuple[Path, dict[str, Any]]] | None = None
        # A pack never changes while the program runs; opening it for each entry is slow
        self._opened: dict[Path, Any] = {}

    def keys(self) -> list[str]:
        return list(self._entries())

    def get(self, key: str) -> Entry | None:
        found = self._entries().get(key)
        if found is None:
            return None
        path, stated = found
        try:
            if path not in self._opened:
                self._opened[path] = safe_open(str(path), framework="numpy")
            arrays = {name: self._opened[path].get_tensor(f"{key}/{name}") for name in stated["arrays"]}
            if checksum(arrays, stated["meta"]) != stated["sha256"]:
                raise DamagedEntry("its checksum does not match its content")
            check_key(key, stated["meta"])
        except (DamagedEntry, OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._problems.append(
                f"The {self._origin} result {key[:12]} in {path.name} is damaged and was skipped ({error}). "
                f"{self._restore}"
            )
            return None
        return Entry(key, arrays, stated["meta"], self._origin, stored_at(stated["meta"]))

    @property
    def _restore(self) -> str:
        return "Restore the file from the repository." if self._origin == "shipped" else "Import its bundle anew."

    def _entries(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        changed = modified_ns(self._directory)
        if self._index is None or changed != self._seen:
            self._index, self._seen = {}, changed
            for path in sorted(self._directory.glob("*.safetensors")):
                try:
                    with safe_open(str(path), framework="numpy") as pack_file:
                        entries = dict(json.loads(pack_file.metadata()["entries"]))
                except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
                    self._problems.append(
                        f"The {self._origin} results {path.name} cannot be read ({type(error).__name__}). "
                        f"{self._restore}"
                    )
                    continue
                self._index.update({key: (path, stated) for key, stated in entries.items()})
        return self._index


def check_key(key: str, meta: dict[str, Any]) -> None:
    """Raise `DamagedEntry` where an entry says that it belongs to another key: rows and files can be mixed up whole."""
    belongs = meta.get("key")
    if belongs is None and "comparison" in meta:  # shipped entries, and those stored before entries named their key
        try:
            belongs = Comparison.from_dict(meta["comparison"]).key
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise DamagedEntry(f"it names no comparison ({type(error).__name__})") from error
    if belongs is not None and belongs != key:
        raise DamagedEntry(f"it belongs to {str(belongs)[:12]}")


def stored_at(meta: dict[str, Any]) -> float:
    """Seconds since the epoch; 0 where an entry does not say."""
    value = meta.get("stored_at", 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def write_pack(path: Path, entries: list[Entry], facts: dict[str, str] | None = None) -> None:
    """Write entries as one pack, with further metadata beside them."""
    import safetensors.numpy

    arrays = {f"{e.key}/{name}": np.ascontiguousarray(a) for e in entries for name, a in e.arrays.items()}
    index = {e.key: {"meta": e.meta, "arrays": sorted(e.arrays), "sha256": checksum(e.arrays, e.meta)} for e in entries}
    write_atomically(
        path, safetensors.numpy.save(arrays, metadata={**(facts or {}), "entries": json.dumps(index, sort_keys=True)})
    )


class Stamped(Protocol):
    """Whatever says where it comes from and when it was made: an entry, or a view of some."""

    @property
    def origin(self) -> str | None:
        """ "shipped", "imported", "local", "mixed"; None where nothing is stored."""

    @property
    def stored_at(self) -> float | None:
        """Seconds since the epoch; None where nothing is stored."""


def origin_and_time(stamped: Iterable[Stamped]) -> tuple[str | None, float | None]:
    """The one origin of all that is stored ("mixed" of several, None of nothing), and the newest time."""
    stored = [item for item in stamped if item.origin is not None]
    origins = {item.origin for item in stored}
    origin = None if not origins else origins.pop() if len(origins) == 1 else "mixed"
    return origin, max((item.stored_at for item in stored if item.stored_at is not None), default=None)
