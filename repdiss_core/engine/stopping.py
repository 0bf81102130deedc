"""How a computation tells where it is, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
ShouldStop = Callable[[], bool]


class Stopped(Exception):
    """The computation was asked to stop; what was finished is stored."""
