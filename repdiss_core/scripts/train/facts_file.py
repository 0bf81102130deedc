"""Writes the facts file: by merging, under a lock, atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

from repdiss_core import bundled


def update_facts(news: dict[str, Any], path: Path | None = None) -> None:
    """Merges `news` into a facts file (by default that of the language models);
    entries of nested tables one by one, others whole."""
    with FileLock(str(bundled.cache_folder("training") / "facts.lock")):
        path = path or bundled.FACTS_FILE
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        for key, value in news.items():
            known[key] = {**known.get(key, {}), **value} if isinstance(value, dict) else value
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
        os.replace(temporary, path)
