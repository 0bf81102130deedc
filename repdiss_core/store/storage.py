"""Pickle-free storage: entries of arrays and plain values as checked safetensors, in a diskcache that refuses all else.

An entry is one safetensors file. Its metadata hold the plain values as JSON and a SHA-256 over both arrays and values,
so that a damaged or foreign entry is told from a right one before any number of it is used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diskcache
import numpy as np
import safetensors.numpy
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN
from safetensors import SafetensorError

FILE_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val")
NO_LIMIT = 2**50  # bytes: pruning is ours and visible; diskcache's own eviction would drop ten entries at once
ROW = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
KEYS = "SELECT CAST(key AS BLOB) FROM Cache WHERE raw = 1 AND typeof(key) = 'text' ORDER BY rowid"
FILES = "SELECT CAST(filename AS BLOB) FROM Cache WHERE filename IS NOT NULL"


class DamagedEntry(Exception):
    """A stored entry that cannot be trusted; its message says why."""


def checksum(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes of the arrays and over the canonical JSON of the values."""
    digest = hashlib.sha256(_json(meta).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def pack(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> bytes:
    """The bytes of one entry."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return safetensors.numpy.save(arrays, metadata={"meta": _json(meta), "sha256": checksum(arrays, meta)})


def unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, values) of an entry that `pack` made.

    Raises:
        DamagedEntry: not such an entry, or its checksum is wrong.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        stated = header["__metadata__"]
        meta = json.loads(stated["meta"])
        arrays = safetensors.numpy.load(data)
        right = checksum(arrays, meta) == stated["sha256"]
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:
        raise DamagedEntry(f"not an entry of RepDiss ({type(error).__name__})") from error
    if not isinstance(meta, dict):
        raise DamagedEntry("not an entry of RepDiss (its values are no object)")
    if not right:
        raise DamagedEntry("its checksum does not match its content")
    return arrays, meta


class SafeDisk(diskcache.Disk):
    """diskcache's storage without pickle: text keys, byte values, and file names that cannot leave the cache."""

    def put(self, key: Any) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"cache keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        if not raw or type(key) is not str:
            raise DamagedEntry("its key is not text (a pickle was planted?)")
        return key

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, str | None, Any]:
        if read or type(value) is not bytes:
            raise TypeError("cache values are the bytes that `pack` makes")
        return super().store(value, read, key)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        if mode not in (MODE_RAW, MODE_BINARY):
            raise DamagedEntry("it is stored as a pickle or text, which is never opened")
        if filename is not None or mode == MODE_BINARY:
            self._confine(filename)
        data = super().fetch(mode, filename, value, read=False)
        if type(data) is not bytes:
            raise DamagedEntry("it does not hold bytes")
        return data

    def remove(self, file_path: str) -> None:
        with contextlib.suppress(DamagedEntry):  # a planted name: the row goes, the foreign file stays untouched
            self._confine(file_path)
            super().remove(file_path)

    def _write(self, full_path: str, iterator: Any, mode: str, encoding: str | None = None) -> int:
        try:
            return super()._write(full_path, iterator, mode, encoding)
        except FileExistsError:
            raise
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(full_path)  # half a file would keep a full disk full
            raise

    def _confine(self, filename: object) -> None:
        inside = Path(self._directory).resolve()
        if (
            type(filename) is not str
            or not FILE_NAME.fullmatch(filename)
            or inside not in (inside / filename).resolve().parents
        ):
            raise DamagedEntry(f"its file name {filename!r} points outside the cache")


class EntryReader:
    """Looks at the rows of a diskcache: one that is open for writing, or one that cannot be written.

    Args:
        rows: (statement, values) to the rows that SQLite answers with.
        disk: opens the files that rows name.
    """

    def __init__(self, rows: Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]], disk: SafeDisk) -> None:
        self._rows, self._disk = rows, disk

    def find(self, key: str) -> bytes | None:
        """The bytes at `key`, None where there is no row.

        Raises:
            DamagedEntry: there is a row, but not what it speaks of.
        """
        reason = ""
        for _ in range(3):  # another process may replace the entry between the row and its file
            rows = self._rows(ROW, (key,))
            if not rows:
                return None
            mode, filename, value = rows[0]
            try:
                return self._disk.fetch(mode, filename, value, read=False)
            except OSError as error:
                reason = error.strerror or str(error)
        raise DamagedEntry(f"its file cannot be read: {reason}")

    def all_keys(self) -> list[str]:
        """Every key that is text, in the order of storing."""
        return _text_keys(self._rows(KEYS, ()))

    def all_files(self) -> set[str]:
        """Every file that a row names."""
        return set(_text_keys(self._rows(FILES, ())))


def read_only(directory: Path) -> EntryReader:
    """The entries of a diskcache that cannot be written: diskcache itself writes its settings on opening."""
    path = directory.resolve() / "cache.db"

    def rows(statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        refused = sqlite3.OperationalError("it cannot be opened")
        for how in ("mode=ro", "immutable=1"):  # the second reads without the side files that the first may make
            try:
                with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)) as database:
                    return _rows(database.execute, statement, values)
            except sqlite3.OperationalError as error:
                refused = error
        raise refused

    return EntryReader(rows, SafeDisk(str(directory)))


# diskcache counts its entries and their bytes by triggers of one statement each.
OWN_TRIGGER = re.compile(
    r'CREATE TRIGGER Settings_\w+ AFTER \w+ ON Cache FOR EACH ROW BEGIN UPDATE Settings SET value = value [^;"]+ '
    r'WHERE key = "\w+"; END'
)


class SafeCache(diskcache.Cache):
    """diskcache, but a disk that refuses is an error at once: its own loop takes every refusal for a busy database and
    never ends."""

    @property
    def _sql(self) -> Callable[..., sqlite3.Cursor]:
        execute = super()._sql

        def run(statement: str, *values: Any) -> sqlite3.Cursor:
            try:
                return execute(statement, *values)
            except sqlite3.OperationalError as error:
                if statement == "ROLLBACK" and "no transaction" in str(error):
                    return execute("SELECT 1")  # SQLite had rolled back by itself, as it does on a full disk
                if statement == "BEGIN IMMEDIATE" and "locked" not in str(error):
                    raise OSError(_errno(error), str(error)) from error
                raise

        return run

    @contextlib.contextmanager
    def _transact(self, retry: bool = False, filename: str | None = None) -> Iterator[Any]:
        try:
            with super()._transact(retry, filename) as pair:
                yield pair
        except BaseException:
            if filename is not None:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._directory, filename))
            raise

    @property
    def reader(self) -> EntryReader:
        """The rows of this cache, looked at without diskcache's own reading, which says nothing of a missing file."""
        return EntryReader(lambda statement, values: _rows(self._sql, statement, values), self._disk)

    def drop(self, key: str) -> None:
        """Remove the row at `key` and its file, whatever the row holds."""
        with self.transact(retry=True):
            rows = _rows(self._sql, "SELECT CAST(filename AS BLOB) FROM Cache WHERE key = ?", (key,))
            self._sql("DELETE FROM Cache WHERE key = ?", (key,))
        for (filename,) in rows:
            self._disk.remove((filename or b"").decode("utf-8", errors="replace"))


def open_diskcache(directory: Path, budget_bytes: int | None = None) -> SafeCache:
    """A diskcache on `directory` that holds packed entries only.

    Args:
        budget_bytes: the entries stored first leave when it is reached; None keeps all.
    """
    if budget_bytes is None:
        limits = {"eviction_policy": "none", "size_limit": NO_LIMIT, "cull_limit": 0}
    else:
        limits = {"eviction_policy": "least-recently-stored", "size_limit": budget_bytes, "cull_limit": 10}
    # No setting is taken from the file
    cache = SafeCache(str(directory), disk=SafeDisk, timeout=30, **(diskcache.DEFAULT_SETTINGS | limits))
    foreign = foreign_rules(cache._sql)
    if foreign:
        cache.close()
        raise sqlite3.DatabaseError(
            f"it holds {foreign[0]!r}, which is not the cache's own and could change what is stored"
        )
    return cache


def foreign_rules(execute: Callable[..., sqlite3.Cursor]) -> list[str]:
    """Triggers and views that diskcache did not make: they run with every write, whoever planted them."""
    found = _rows(execute, "SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')")
    return [str(name) for name, sql in found if not OWN_TRIGGER.fullmatch(str(sql))]


def _rows(execute: Callable[..., sqlite3.Cursor], statement: str, values: tuple = ()) -> list[tuple]:
    try:
        return execute(statement, values).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" in str(error):
            raise DamagedEntry("its row does not hold text where text belongs") from error
        raise


def _text_keys(rows: list[tuple]) -> list[str]:
    return [key.decode("utf-8", errors="replace") for (key,) in rows]


def _errno(error: sqlite3.Error) -> int:
    """The nearest error number of the system, for the sentence."""
    told = str(error)
    return errno.ENOSPC if "full" in told else errno.EROFS if "readonly" in told else errno.EIO


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a reader sees the old file or the whole new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def modified_ns(path: Path) -> int:
    """When a file or folder was last changed, as the disk says; 0 where none can be seen."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _json(meta: dict[str, Any]) -> str:
    return json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)
