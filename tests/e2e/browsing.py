"""A server of its own on a loopback port, a headless Chromium, and when a page counts as settled."""

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
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()
SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  if (!app || app.dataset.testScriptState !== 'notRunning' || app.dataset.testConnectionState !== 'CONNECTED') return false;
  if (document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]')) return false;
  const charts = [...document.querySelectorAll('[data-testid="stPlotlyChart"]')];
  return charts.every(c => { const gd = c.querySelector('.js-plotly-plot'); return gd && gd.calcdata; });
}"""
NORMAL_404 = ("/_stcore/health", "/_stcore/host-config")


def chromium() -> str | None:
    """Path of the browser, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(cache: Path, **environment: str) -> Iterator[str]:
    """`streamlit run` with its own cache; yields the address once it answers, and ends the process."""
    port = free_port()
    log = cache / "server.log"
    with open(log, "wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=REPOSITORY, stdout=sink, stderr=subprocess.STDOUT, env=os.environ | {"REPDISS_CACHE": str(cache)} | environment,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_health(address, process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for_health(address: str, process: subprocess.Popen, limit_s: float = 40) -> None:
    """Return once the server answers on `/_stcore/health`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not answer within {limit_s} s")


def settle(page, limit_s: float = 30) -> None:
    """Return once the script has run, nothing is stale and every chart is drawn."""
    page.wait_for_function(SETTLED, timeout=limit_s * 1000, polling=50)


def values(page, chart_key: str, panel: int = 0) -> list[list[float | None]]:
    """z of the n-th map of values of a chart, as Plotly holds it in the browser."""
    script = """([key, n]) => document.querySelector(`.st-key-${key} .js-plotly-plot`).calcdata
      .map(t => t[0]).filter(t => t.trace.type === 'heatmap' && t.trace.name === 'values')[n].z.map(row => [...row])"""
    return page.evaluate(script, [chart_key, panel])


class Faults:
    """Console errors, page errors and failed requests of a page, but for those that Streamlit makes on every deep link."""

    def __init__(self, page) -> None:
        self.found: list[str] = []
        page.on("console", lambda m: self.found.append(f"console: {m.text}") if m.type == "error" and "404" not in m.text else None)
        page.on("pageerror", lambda e: self.found.append(f"page error: {e}"))
        page.on("response", self._response)
        page.on("requestfailed", lambda r: self.found.append(f"failed: {r.url}") if "127.0.0.1" not in r.url else None)

    def _response(self, response) -> None:
        if response.status >= 400 and not response.url.split("?")[0].endswith(NORMAL_404):
            self.found.append(f"{response.status}: {response.url}")

    def check(self, page) -> None:
        """Fail on any fault, and on an exception that Streamlit shows in the page."""
        assert page.locator('[data-testid="stException"]').count() == 0, page.locator('[data-testid="stException"]').first.inner_text()
        assert not self.found, "\n".join(self.found)
