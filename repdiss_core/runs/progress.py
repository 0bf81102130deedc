"""How a computation on a terminal shows that it goes on, and how it is asked to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

import click


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM or Ctrl-C sets; asked twice, the process leaves at once."""
    stop = threading.Event()

    def wish(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt  # asked twice: leave at once
        stop.set()

    signal.signal(signal.SIGTERM, wish)
    signal.signal(signal.SIGINT, wish)
    return stop


class TerminalProgress:
    """A tqdm bar on a terminal; a plain line every five seconds otherwise."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._said, self._begun = 0.0, time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}")

    def __call__(self, fraction: float, message: str) -> None:
        if self._bar is not None:
            self._bar.n = fraction
            self._bar.set_postfix_str(message, refresh=True)
        elif time.monotonic() - self._said > 5:
            self._said = time.monotonic()
            click.echo(f"{fraction:6.1%}  {self._said - self._begun:5.0f} s  {message}", err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
