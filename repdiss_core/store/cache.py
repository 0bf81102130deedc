"""The results that are at hand: computed on this machine (`cache/local`), or shipped (`cache/bundled`, read-only)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from diskcache import Timeout

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import bundled_root, local_root
from repdiss_core.store.disk import directory_size, disk_error, identity, is_damage, is_sound
from repdiss_core.store.entries import Entry, PackIndex, check_key, stored_at
from repdiss_core.store.storage import (
    DamagedEntry,
    EntryReader,
    SafeCache,
    modified_ns,
    open_diskcache,
    pack,
    read_only,
    unpack,
)

DAMAGE = (DamagedEntry, sqlite3.DatabaseError, OSError)
ORPHAN_AGE_S = 3600.0  # a file without a row is younger only while its writer may still be about to write the row


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
        self._cache: SafeCache | None = None
        self._opened_file: tuple[int, int] | None = None
        self._packs = PackIndex(packs or bundled_root(), self.problems)
        self._imported = PackIndex(self.imported_folder, self.problems, "imported")

    @classmethod
    def open(cls) -> ResultStore:
        """The store at the places that `repdiss_core.base.paths` names."""
        return cls()

    def get(self, key: str) -> Entry | None:
        """The entry at `key`, or None where there is none that can be trusted."""
        return self._get_local(key) or self.get_shipped(key)

    def get_local(self, key: str) -> Entry | None:
        """The entry computed on this machine alone."""
        return self._get_local(key)

    def get_shipped(self, key: str) -> Entry | None:
        """The shipped entry, or the one that was brought from another machine;
        like it, it is never mixed with batches computed here."""
        return self._packs.get(key) or self._imported.get(key)

    @property
    def version(self) -> tuple[int, ...]:
        """Changes with every write to the local results, from any process."""
        folder = self.directory / "results"
        return tuple(modified_ns(folder / name) for name in ("cache.db", "cache.db-wal"))

    @property
    def imported_folder(self) -> Path:
        """Where bundles from other machines are kept."""
        return self.directory / "imported"

    def put(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Store an entry, atomically, in place of an older one.

        Raises:
            UserError: the disk is full or cannot be written; what was stored before is kept.
        """
        data = pack(arrays, {**meta, "stored_at": time.time(), "key": key})
        self._write(lambda cache: cache.set(key, data, retry=True))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Inside, entries are written in one transaction: all of them or none, and the disk is waited for once.

        Where the database turns out to be damaged in the middle, it is set aside; entries written before that are not
        kept.
        """
        cache, finished = None, False
        try:
            cache = self._writable()
            with cache.transact(retry=True):
                yield
                finished = True
        except (OSError, sqlite3.Error, Timeout) as error:
            if finished and self._cache is not cache:  # set aside inside: what came after stands in the new database
                return
            self.close()
            raise disk_error(error, self.directory) from error

    def delete(self, key: str) -> None:
        """Forget the local entry at `key`."""
        self._write(lambda cache: cache.delete(key, retry=True))

    def lock(self, key: str, timeout: float = -1) -> filelock.BaseFileLock:
        """A lock that one process holds while it computes `key`; freed by its death.

        Raises:
            UserError: the cache cannot be written.
        """
        folder = self.directory / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.directory) from error
        return filelock.FileLock(folder / f"{key}.lock", timeout=timeout)

    def keys(self, origin: str) -> list[str]:
        """All keys: origin "local", "shipped" or "imported"."""
        if origin in ("shipped", "imported"):
            return (self._packs if origin == "shipped" else self._imported).keys()
        return self._read(lambda reader: reader.all_keys(), []) if self._exists() else []

    @property
    def size_bytes(self) -> int:
        """Bytes that the local cache takes, activations, jobs and data included."""
        return directory_size(self.directory)

    def verify(self) -> tuple[int, list[str]]:
        """(entries that are right, a sentence for each that is not);
        damaged local entries and files without a row are removed."""
        before = len(self.problems)
        if self._exists() and not is_sound(self._folder / "cache.db"):
            self.close()
            self._set_aside("its tables and indexes do not agree")
        right = sum(self._get_local(key) is not None for key in self.keys("local"))
        right += sum(self._packs.get(key) is not None for key in self.keys("shipped"))
        right += sum(self._imported.get(key) is not None for key in self.keys("imported"))
        self.remove_orphans()
        return right, self.problems[before:]

    def orphans(self, age_s: float = ORPHAN_AGE_S) -> list[Path]:
        """Files of results that no row names: their writer was killed between file and row. Younger ones are left
        out."""
        if not self._exists():
            return []
        named = self._read(lambda reader: reader.all_files(), None)
        found = self._folder.glob("*/*/*.val") if named is not None else ()
        return [
            path
            for path in found
            if path.relative_to(self._folder).as_posix() not in named and time.time() - path.stat().st_mtime >= age_s
        ]

    def remove_orphans(self, age_s: float = ORPHAN_AGE_S) -> int:
        """Remove them; returns how many there were."""
        found = self.orphans(age_s)
        for path in found:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        return len(found)

    # -- the local diskcache -------------------------------------------------------------------------------------

    def _exists(self) -> bool:
        return os.path.exists(self._folder / "cache.db")

    @property
    def _folder(self) -> Path:
        return self.directory / "results"

    def _writable(self) -> SafeCache:
        """The open diskcache; opened anew where its file was replaced (pruned, set aside, copied over).

        Raises:
            UserError: the disk cannot be written.
        """
        if self._cache is not None and self._opened_file != identity(self._folder / "cache.db"):
            self.close()
        if self._cache is None:
            try:
                self._cache = open_diskcache(self._folder)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise disk_error(error, self._folder) from error
                self._set_aside(error)
                self._cache = open_diskcache(self._folder)
            except OSError as error:
                raise disk_error(error, self._folder) from error
            self._opened_file = identity(self._folder / "cache.db")
        return self._cache

    def close(self) -> None:
        """Close the database: what is read next comes from the disk, as another process will read it."""
        if self._cache is not None:
            with contextlib.suppress(sqlite3.Error):
                self._cache.close()
            self._cache = None

    def _write(self, act: Callable[[SafeCache], Any]) -> None:
        """Do `act`; where the database turns out to be damaged, once more on a new one."""
        for attempt in (1, 2):
            try:
                act(self._writable())
                return
            except (OSError, sqlite3.Error, Timeout, DamagedEntry) as error:
                self.close()
                if attempt == 2 or not is_damage(error):
                    raise disk_error(error, self.directory) from error
                self._set_aside(error)

    def _read(self, look: Callable[[EntryReader], Any], otherwise: Any) -> Any:
        """What `look` finds, on a disk that cannot be written too; `otherwise` where the database is damaged."""
        try:
            reader = self._writable().reader
        except UserError:
            reader = read_only(self._folder)
        try:
            return look(reader)
        except sqlite3.DatabaseError as error:
            self.close()
            if is_damage(error):
                self._set_aside(error)
            else:
                self.problems.append(
                    f"The local results database could not be read just now ({error}). "
                    "Open the page again, or run the command again."
                )
            return otherwise

    def _set_aside(self, error: Exception | str) -> None:
        """Move a damaged database out of the way, unless another process has done so already."""
        with self.lock("set-aside"):
            if not self._exists() or is_sound(self._folder / "cache.db"):
                return
            aside = self._folder.with_name(f"results.damaged-{time.time_ns()}")
            try:
                self._folder.rename(aside)
            except OSError as refused:
                raise disk_error(refused, self.directory) from refused
            saved = self._saved_from(aside)
        self.problems.append(
            f"The local results database could not be read ({error}). It was set aside as {aside.name}; "
            f"{saved} results could be saved from it, "
            "the others are computed anew when asked for."
        )

    def _saved_from(self, aside: Path) -> int:
        """Copy what can still be read, and is right, from a damaged database into a new one;
        returns how many entries."""
        old, saved = read_only(aside), 0
        with contextlib.suppress(*DAMAGE), contextlib.closing(open_diskcache(self._folder)) as new:
            for key in old.all_keys():
                with contextlib.suppress(*DAMAGE):
                    data = old.find(key)
                    check_key(key, unpack(data or b"")[1])
                    new.set(key, data, retry=True)
                    saved += 1
        return saved

    def _get_local(self, key: str) -> Entry | None:
        if not self._exists():
            return None
        try:
            data = self._read(lambda reader: reader.find(key), None)
            if data is None:
                return None
            arrays, meta = unpack(data)
            check_key(key, meta)
        except DamagedEntry as error:
            self._drop_damaged(key, error)
            return None
        return Entry(key, arrays, meta, "local", stored_at(meta))

    def _drop_damaged(self, key: str, error: Exception) -> None:
        self.problems.append(
            f"The cached result {key[:12]} was damaged or foreign and was skipped ({error}). "
            "It is computed anew when asked for."
        )
        with contextlib.suppress(UserError):  # a disk that cannot be written keeps it
            self._write(lambda cache: cache.drop(key))
