"""Small files beside the results that can tell whether they are whole: copies of what can be made again, and facts."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from repdiss_core.store.storage import DamagedEntry, write_atomically


def keep_bytes(path: Path, data: bytes) -> None:
    """Keep a copy of what can be made again, its SHA-256 behind it;
    where the disk refuses, the caller goes on without it."""
    with contextlib.suppress(OSError):
        write_atomically(path, data + hashlib.sha256(data).digest())


def kept_bytes(path: Path) -> bytes | None:
    """What `keep_bytes` kept; None where there is nothing, or something else."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    whole = len(data) > 32 and hashlib.sha256(data[:-32]).digest() == data[-32:]
    return data[:-32] if whole else None


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """A file of small facts (JSON types) that can tell whether it is whole."""
    text = _canonical(facts)
    write_atomically(
        path,
        json.dumps(
            {"sha256": hashlib.sha256(text.encode()).hexdigest(), "facts": facts}, indent=1, sort_keys=True
        ).encode(),
    )


def read_facts(path: Path) -> dict[str, Any]:
    """What `write_facts` wrote.

    Raises:
        DamagedEntry: the file holds something else.
    """
    try:
        form = json.loads(path.read_text("utf-8"))
        if hashlib.sha256(_canonical(form["facts"]).encode()).hexdigest() == form["sha256"]:
            return dict(form["facts"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedEntry(f"it is no file of facts ({type(error).__name__})") from error
    raise DamagedEntry("its checksum is not that of its contents")


def _canonical(facts: Any) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
