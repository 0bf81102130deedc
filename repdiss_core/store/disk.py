"""What disk and database say of themselves: damaged, busy, full, replaced by another."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from repdiss_core.base.errors import UserError
from repdiss_core.store.storage import foreign_rules


def directory_size(directory: Path) -> int:
    """Bytes of all files below a directory."""
    total = 0
    for path in directory.rglob("*") if directory.exists() else ():
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # a partial file that another process has just renamed
    return total


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_damage(error: Exception) -> bool:
    """Whether a database is damaged, rather than busy or on a disk that refuses."""
    if isinstance(error, sqlite3.OperationalError):
        # The last one: a file cut short beside its log
        return any(word in str(error) for word in ("no such", "malformed", "disk I/O"))
    return isinstance(error, sqlite3.DatabaseError)


def is_sound(path: Path) -> bool:
    """Whether SQLite finds no fault with a database, and it is one of results;
    one that cannot be opened now is not damaged."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as database:
            database.execute("SELECT key, raw, mode, filename, value FROM Cache LIMIT 1").fetchall()
            if foreign_rules(database.execute):
                return False
            return database.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
    except sqlite3.DatabaseError as error:
        return not is_damage(error)


def disk_error(error: Exception, place: Path) -> UserError:
    """The sentence for a cache that cannot be written."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "full" in str(error).lower()
    what = "is full" if full else f"cannot be written ({getattr(error, 'strerror', None) or error})"
    return UserError(
        f"The disk that holds the cache {what}. What was stored before is kept. "
        "Free some space (`python -m repdiss_core cache prune`) "
        f"or set REPDISS_CACHE to a folder with room, then resume the job."
    )
