"""Where RepDiss keeps its files, and what a public demo may not do."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from repdiss_core.base.errors import MOST_CHARACTERS, UserError

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = re.compile(r"\bhf_\w{6,}|(?i:(?<=bearer )|(?<=token=))[\w.\-]{8,}")
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "RAY_AUTH_TOKEN")


def cache_root() -> Path:
    """The cache directory: `REPDISS_CACHE` where set, else `cache/` in the repository."""
    return expanded(os.environ.get("REPDISS_CACHE") or REPOSITORY / "cache")


def local_root() -> Path:
    """What is computed on this machine: results, activations, jobs, locks (git-ignored).

    Raises:
        UserError: something stands there that this user cannot open as a folder.
    """
    local = cache_root() / "local"
    try:
        if stat.S_ISDIR(os.stat(local).st_mode):
            may = os.access(local, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
            reason = "" if may else "Permission denied"
        else:
            reason = "Not a directory"
    except FileNotFoundError:
        reason = ""  # made with the first write
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise UserError(
            f"The cache {str(local)[:MOST_CHARACTERS]} cannot be opened ({reason}). "
            "Give this user the right to read it, or set REPDISS_CACHE to another folder."
        )
    return local


def bundled_root() -> Path:
    """Results of the bundled models that ship with the repository (tracked, never written by the app)."""
    return REPOSITORY / "cache" / "bundled"


def readonly() -> bool:
    """Whether `REPDISS_READONLY=1` forbids computing, cancelling and pruning (a public demo)."""
    return os.environ.get("REPDISS_READONLY", "") not in ("", "0")


def expanded(place: str | Path) -> Path:
    """A path with its ~ resolved.

    Raises:
        UserError: it is in the home of a user that this machine does not have.
    """
    try:
        return Path(place).expanduser()
    except RuntimeError as error:
        raise UserError(f"There is no home folder for {Path(place).parts[0]}; write the whole path.") from error


def typed_path(name: str) -> Path:
    """The file or folder that "path:…" names; raises as `expanded` does."""
    return expanded(name.removeprefix("path:"))


def number_setting(name: str, default: float) -> float:
    """A setting of the environment that is a number of at least 0.

    Raises:
        UserError: it is none.
    """
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(
            f"{name} is {text[:40]!r}; it is a number of at least 0, such as {default:g}. Correct or unset it."
        )
    return value


def redacted(text: str) -> str:
    """Text for a log or a page: no access token, and places of this machine told from its home or the repository."""
    for secret in filter(None, map(os.environ.get, TOKEN_VARIABLES)):
        text = text.replace(secret, "…")
    text = SECRET.sub("…", text)
    for place, short in ((str(REPOSITORY), "."), (os.path.expanduser("~"), "~")):
        if len(place) > 1:
            text = text.replace(place, short)
    return text
