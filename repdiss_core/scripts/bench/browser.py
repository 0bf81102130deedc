"""A dashboard of its own on a loopback port, a headless Chromium, and when a page counts as settled."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from repdiss_core.base.paths import REPOSITORY

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || app.dataset.testScriptState !== 'notRunning') return false;
  if (app.dataset.testConnectionState !== 'CONNECTED') return false;
  if (!document.querySelector('h1')) return false;
  if (document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]')) return false;
  const seen = box => box.width > 0 && box.top < innerHeight && box.bottom > 0;
  return [...document.querySelectorAll('.stBidiComponent')].every(frame => {
    const chart = frame.querySelector('.repdiss-chart');
    if (frame.querySelector('.repdiss-button, .repdiss-findings')) return true;
    if (!chart) return !seen(frame.parentElement.getBoundingClientRect());
    return chart.dataset.state !== 'waiting' || !seen(chart.getBoundingClientRect());
  });
}"""


def chromium() -> str | None:
    """Path of the browser, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def dashboard(log: str = os.devnull, **environment: str) -> Iterator[str]:
    """`streamlit run` in a process of its own; yields the address once it answers, and ends the process.

    Args:
        log: file that takes what the server prints.
        environment: variables beside those of this process, such as REPDISS_CACHE.
    """
    port = free_port()
    with open(log, "wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for_health(address, process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_health(address: str, process: subprocess.Popen, limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the dashboard ended with status {process.returncode} before it answered")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the dashboard did not answer within {limit_s} s")


def settle(page: Any, limit_s: float = 60) -> None:
    """Return once the script has run, nothing is stale and every chart is drawn."""
    page.wait_for_function(SETTLED, timeout=limit_s * 1000, polling="raf")
