"""What ships with the project: tokenizer, weights and the facts about both. Imports nothing heavy."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.base.paths import local_root

FOLDER = Path(__file__).resolve().parent
TOKENIZER_FILE = FOLDER / "tokenizer.json"
WEIGHTS_FOLDER = FOLDER / "weights"
FACTS_FILE = FOLDER / "facts.json"
SEPARATOR = "<|sep|>"


def facts() -> dict[str, Any]:
    """The facts file: data, tokenizer, models, baselines, versions; read again when it has changed."""
    if not FACTS_FILE.exists():
        raise UserError(
            f"The facts about the bundled models are missing ({FACTS_FILE.name}). Restore the file from the repository."
        )
    return _read_facts(FACTS_FILE, FACTS_FILE.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read_facts(path: Path, _modified: int) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def cache_folder(*parts: str) -> Path:
    """A folder of this machine's own cache; made if missing."""
    folder = local_root().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.lru_cache(maxsize=64)
def _hash_once(path: Path, _size: int, _modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits; computed once for a file that does not change."""
    found = path.stat()
    return _hash_once(path, found.st_size, found.st_mtime_ns)
