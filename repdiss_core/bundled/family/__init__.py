"""The bundled GPT-NeoX family: facts and places. Imports nothing heavy.

Members grow in depth and width; one shape has an odd twin with an abnormally small head dimension. Every member has a
seed of its own.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError

FOLDER = Path(__file__).resolve().parent
WEIGHTS_FOLDER = FOLDER / "weights"
FACTS_FILE = FOLDER / "facts.json"


def facts() -> dict[str, Any]:
    """Architecture, hash, losses and recipe of every trained member under "models"; read again when it has changed."""
    if not FACTS_FILE.exists():
        raise UserError(
            f"The facts about the GPT-NeoX family are missing ({FACTS_FILE.name}). "
            "Restore the file from the repository or train the family (`python -m repdiss_core.scripts.train.family`)."
        )
    return _read(FACTS_FILE.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read(_modified: int) -> dict[str, Any]:
    return json.loads(FACTS_FILE.read_text("utf-8"))


def weights_file(name: str) -> Path:
    """Where a member's weights, or those of one of its checkpoints, stand."""
    return WEIGHTS_FOLDER / f"{name}.safetensors"
