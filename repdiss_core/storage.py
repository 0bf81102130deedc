"""Pickle-free storage: entries of arrays and plain values as checked safetensors, in a diskcache that refuses all else.

An entry is one safetensors file. Its metadata hold the plain values as JSON and a SHA-256 over both arrays and values,
so that a damaged or foreign entry is told from a right one before any number of it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import diskcache
import numpy as np
import safetensors.numpy
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN
from safetensors import SafetensorError

FILE_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{28}\.val")
NO_LIMIT = 2**50  # bytes: pruning is ours and visible; diskcache's own eviction would drop ten entries at once


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
        wanted = stated["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise DamagedEntry(f"not an entry of RepDiss ({type(error).__name__})") from error
    if checksum(arrays, meta) != wanted:
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
        if filename is not None:
            self._confine(filename)
        data = super().fetch(mode, filename, value, read=False)
        if type(data) is not bytes:
            raise DamagedEntry("it does not hold bytes")
        return data

    def remove(self, file_path: str) -> None:
        self._confine(file_path)
        super().remove(file_path)

    def _confine(self, filename: str) -> None:
        inside = Path(self._directory).resolve()
        if not FILE_NAME.fullmatch(filename) or inside not in (inside / filename).resolve().parents:
            raise DamagedEntry(f"its file name {filename!r} points outside the cache")


def open_diskcache(directory: Path) -> diskcache.Cache:
    """A diskcache on `directory` that holds packed entries only and never evicts by itself."""
    return diskcache.Cache(
        str(directory), disk=SafeDisk, eviction_policy="none", size_limit=NO_LIMIT, cull_limit=0, timeout=30
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a reader sees the old file or the whole new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _json(meta: dict[str, Any]) -> str:
    return json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)
