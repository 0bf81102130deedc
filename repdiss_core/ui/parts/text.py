"""Words on the page: untrusted text shown as text, ages and durations in words, counts with thin separators."""

from __future__ import annotations

import re
import time
from typing import Literal

BadgeColor = Literal["violet", "green", "red", "orange", "gray"]
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>])")


def as_text(value: object) -> str:
    """Text for a Markdown element in which no character acts as markup: what a user typed is shown as it was typed."""
    return _MARKUP.sub(r"\\\1", str(value)).replace("\n", " ")


def whole_number(text: str) -> int | None:
    """The number that at most five digits of an address name; None for all else."""
    return int(text) if text.isdecimal() and len(text) < 6 else None


def age(stored_at: float, now: float | None = None) -> str:
    """How long ago something was stored: "just now", "12 min ago", "3 h ago", "5 days ago"."""
    seconds = max(0.0, (time.time() if now is None else now) - stored_at)
    if seconds < 45:
        return "just now"
    for limit, size, unit in ((5400, 60, "min"), (129600, 3600, "h")):
        if seconds < limit:
            return f"{max(1, round(seconds / size))} {unit} ago"
    return f"{round(seconds / 86400)} days ago"


def duration(seconds: float) -> str:
    """A time to wait, in words: "a few seconds", "about 40 s", "about 3 min", "about 2 h"."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10 or 10} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def size(n_bytes: int) -> str:
    """Bytes in words: "3.2 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} bytes"


def count(n: int) -> str:
    """A count with thin separators: 25 600."""
    return f"{n:,}".replace(",", "\u2009")
