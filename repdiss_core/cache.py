"""The results that are at hand: computed on this machine (`cache/local`), or shipped (`cache/bundled`, read-only)."""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from diskcache import Timeout
from safetensors import SafetensorError, safe_open

from repdiss_core.errors import UserError
from repdiss_core.paths import bundled_root, local_root
from repdiss_core.storage import DamagedEntry, checksum, open_diskcache, pack, unpack, write_atomically

DAMAGE = (DamagedEntry, sqlite3.DatabaseError, OSError)


@dataclass(frozen=True, eq=False)
class Entry:
    """One stored result: arrays, plain values, where it comes from ("local" or "shipped") and when it was made."""

    key: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    origin: str
    stored_at: float


class ResultStore:
    """Results by key: reads the local cache first, then the shipped packs; writes the local cache alone.

    Args:
        directory: the local cache; created on the first write.
        packs: a directory of shipped packs.

    A damaged entry is skipped, told in `problems`, and removed from the local cache so that it is computed anew.
    """

    def __init__(self, directory: Path | None = None, packs: Path | None = None) -> None:
        self.directory = directory or local_root()
        self.problems: list[str] = []
        self._cache: Any = None
        self._packs = _PackIndex(packs or bundled_root(), self.problems)
        self._imported = _PackIndex(self.imported_folder, self.problems, "imported")

    @classmethod
    def open(cls) -> ResultStore:
        """The store at the places that `repdiss_core.paths` names."""
        return cls()

    def get(self, key: str) -> Entry | None:
        """The entry at `key`, or None where there is none that can be trusted."""
        return self._get_local(key) or self.get_shipped(key)

    def get_local(self, key: str) -> Entry | None:
        """The entry computed on this machine alone."""
        return self._get_local(key)

    def get_shipped(self, key: str) -> Entry | None:
        """The shipped entry, or the one that was brought from another machine; like it, it is never mixed with batches computed here."""
        return self._packs.get(key) or self._imported.get(key)

    @property
    def imported_folder(self) -> Path:
        """Where bundles from other machines are kept."""
        return self.directory / "imported"

    def put(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Store an entry, atomically, in place of an older one.

        Raises:
            UserError: the disk is full or cannot be written; what was stored before is kept.
        """
        data = pack(arrays, {**meta, "stored_at": time.time()})
        try:
            self._open_local().set(key, data, retry=True)
        except (OSError, sqlite3.Error, Timeout) as error:
            raise disk_error(error, self.directory) from error

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Inside, entries are written in one transaction: all of them or none, and the disk is waited for once."""
        try:
            with self._open_local().transact(retry=True):
                yield
        except (OSError, sqlite3.Error, Timeout) as error:
            raise disk_error(error, self.directory) from error

    def delete(self, key: str) -> None:
        """Forget the local entry at `key`."""
        self._open_local().delete(key, retry=True)

    def lock(self, key: str, timeout: float = -1) -> filelock.BaseFileLock:
        """A lock that one process holds while it computes `key`; freed by its death."""
        folder = self.directory / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / f"{key}.lock", timeout=timeout)

    def keys(self, origin: str) -> list[str]:
        """All keys: origin "local", "shipped" or "imported"."""
        if origin in ("shipped", "imported"):
            return (self._packs if origin == "shipped" else self._imported).keys()
        return list(self._iterate_local()) if self._exists() else []

    @property
    def size_bytes(self) -> int:
        """Bytes that the local cache takes, activations, jobs and data included."""
        return directory_size(self.directory)

    def verify(self) -> tuple[int, list[str]]:
        """(entries that are right, a sentence for each that is not); damaged local entries are removed."""
        before = len(self.problems)
        right = sum(self._get_local(key) is not None for key in self.keys("local"))
        right += sum(self._packs.get(key) is not None for key in self.keys("shipped"))
        right += sum(self._imported.get(key) is not None for key in self.keys("imported"))
        return right, self.problems[before:]

    # -- the local diskcache -------------------------------------------------------------------------------------

    def _exists(self) -> bool:
        return self._cache is not None or (self.directory / "results" / "cache.db").exists()

    def _open_local(self) -> Any:
        if self._cache is None:
            folder = self.directory / "results"
            try:
                self._cache = open_diskcache(folder)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise disk_error(error, folder) from error
                aside = folder.with_name(f"results.damaged-{int(time.time())}")
                folder.rename(aside)
                self.problems.append(
                    f"The local results database could not be read ({error}). It was set aside as {aside.name}; results are computed anew when asked for."
                )
                self._cache = open_diskcache(folder)
            except OSError as error:
                raise disk_error(error, folder) from error
        return self._cache

    def _get_local(self, key: str) -> Entry | None:
        if not self._exists():
            return None
        try:
            data = self._open_local().get(key, retry=True)
            if data is None:
                return None
            arrays, meta = unpack(data)
        except DAMAGE as error:
            self._drop_damaged(key, error)
            return None
        return Entry(key, arrays, meta, "local", float(meta.get("stored_at", 0.0)))

    def _drop_damaged(self, key: str, error: Exception) -> None:
        self.problems.append(f"The cached result {key[:12]} was damaged or foreign and was skipped ({error}). It is computed anew when asked for.")
        try:
            self._cache.delete(key, retry=True)
        except DAMAGE:
            # A planted file name is refused on removal too; the row goes, the foreign file stays untouched.
            with self._cache.transact(retry=True):
                self._cache._sql("DELETE FROM Cache WHERE key = ?", (key,))

    def _iterate_local(self) -> Iterator[str]:
        rows = self._open_local()._sql("SELECT key FROM Cache ORDER BY rowid").fetchall()
        return (key for (key,) in rows if type(key) is str)


class _PackIndex:
    """Shipped or imported results: each pack is one safetensors file with many entries, named `key/array`."""

    def __init__(self, directory: Path, problems: list[str], origin: str = "shipped") -> None:
        self._directory = directory
        self._problems = problems
        self._origin = origin
        self._seen = -1  # when the directory had last changed
        self._index: dict[str, tuple[Path, dict[str, Any]]] | None = None
        self._opened: dict[Path, Any] = {}  # a pack never changes while the program runs; opening it for each entry is slow

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
        except (*DAMAGE, SafetensorError, KeyError, TypeError) as error:
            self._problems.append(f"The {self._origin} result {key[:12]} in {path.name} is damaged and was skipped ({error}). {self._restore}")
            return None
        return Entry(key, arrays, stated["meta"], self._origin, float(stated["meta"].get("stored_at", 0.0)))

    @property
    def _restore(self) -> str:
        return "Restore the file from the repository." if self._origin == "shipped" else "Import its bundle anew."

    def _entries(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        changed = self._directory.stat().st_mtime_ns if self._directory.exists() else 0
        if self._index is None or changed != self._seen:
            self._index, self._seen = {}, changed
            for path in sorted(self._directory.glob("*.safetensors")):
                try:
                    with safe_open(str(path), framework="numpy") as pack_file:
                        entries = json.loads(pack_file.metadata()["entries"])
                except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                    self._problems.append(f"The {self._origin} results {path.name} cannot be read ({type(error).__name__}). {self._restore}")
                    continue
                self._index.update({key: (path, stated) for key, stated in entries.items()})
        return self._index


def write_pack(path: Path, entries: list[Entry], facts: dict[str, str] | None = None) -> None:
    """Write entries as one pack, with further metadata beside them."""
    import safetensors.numpy

    arrays = {f"{e.key}/{name}": np.ascontiguousarray(a) for e in entries for name, a in e.arrays.items()}
    index = {e.key: {"meta": e.meta, "arrays": sorted(e.arrays), "sha256": checksum(e.arrays, e.meta)} for e in entries}
    write_atomically(path, safetensors.numpy.save(arrays, metadata={**(facts or {}), "entries": json.dumps(index, sort_keys=True)}))


def directory_size(directory: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for path in directory.rglob("*") if directory.exists() else ():
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # a partial file that another process has just renamed
    return total


def disk_error(error: Exception, place: Path) -> UserError:
    """The sentence for a cache that cannot be written."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "full" in str(error).lower()
    what = "is full" if full else f"cannot be written ({error})"
    return UserError(
        f"The disk that holds the cache {what}. What was stored before is kept. Free some space (`python -m repdiss_core cache prune`) "
        f"or set REPDISS_CACHE to a folder with room, then resume the job."
    )
