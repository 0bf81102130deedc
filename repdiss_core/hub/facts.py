"""What is remembered of the hub's repositories on this machine: `cache/local/hub/pins.json`."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import filelock

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root
from repdiss_core.store.disk import disk_error
from repdiss_core.store.kept_files import read_facts, write_facts
from repdiss_core.store.storage import DamagedEntry, modified_ns


def remember(key: str, value: Any) -> None:
    """Keep a fact about a repository on this machine (JSON types), beside the pins.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    path = _pins_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock"), timeout=10):
            write_facts(path, {**_read_pins(), key: value})
    except OSError as error:
        raise disk_error(error, path) from error


def recall(key: str) -> Any:
    """What `remember` kept, or None."""
    return _read_pins().get(key)


def everything() -> dict[str, Any]:
    """All pins and facts that are kept here."""
    return dict(_read_pins())


def stamp() -> int:
    """A number that changes whenever something is pinned or remembered."""
    return modified_ns(_pins_path())


def _pins_path() -> Path:
    return local_root() / "hub" / "pins.json"


def _read_pins() -> dict[str, Any]:
    modified = stamp()
    return _parsed(_pins_path(), modified) if modified else {}


@functools.lru_cache(maxsize=2)
def _parsed(path: Path, modified: int) -> dict[str, Any]:
    try:
        return read_facts(path)
    except DamagedEntry as error:
        aside = path.with_name(f"pins.damaged-{time.time_ns()}.json")
        what = f"What was known of the hub's repositories ({path.name}) is damaged: {error}."
        try:
            if stamp() == modified:  # else another process has written it anew
                path.rename(aside)
        except OSError as refused:
            raise UserError(f"{what} Remove the file; revisions are then asked for again.") from refused
        raise UserError(
            f"{what} It was set aside as {aside.name}. Open the page again, or run the command again: "
            "revisions are asked for anew."
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}). Give this user the right to read it."
        ) from error
