"""`bench load`: many readers at once turn over cached figures; how long a redraw takes, what fails, and how the
server's memory grows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from repdiss_core.base.errors import UserError
from repdiss_core.scripts.bench.browser import FLAGS, SETTLED, chromium, dashboard

PAGE = "Activation_asymmetry"
TURNED = (
    "Over batches",
    "Steps in the learning curves",
    "Depth",
)  # choices whose figures ship, so that nothing has to be computed
THINKING_S = (2.0, 6.0)  # between two choices of one reader
LIMIT_S = 60.0
SESSIONS, BROWSERS = "WebSocket sessions", "browsers"
Choose = Callable[[], Awaitable[None]]
CHOOSE = "word => [...document.querySelectorAll('button, [role=radio]')].find(b => b.innerText.trim() === word).click()"
SHOWS = (
    "word => document.querySelector('.st-key-chart-fig1 .js-plotly-plot')?.layout?.yaxis?.title?.text?.startsWith(word)"
)


@dataclass
class Load:
    """What was seen: seconds of each redraw by kind of reader, sentences of what failed,
    and (second, MiB) of the server."""

    redraws: dict[str, list[float]] = field(default_factory=lambda: {SESSIONS: [], BROWSERS: []})
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def form(self) -> dict[str, Any]:
        """Plain JSON types: medians and 95th percentiles in s, memory in MiB."""
        shown = {
            kind: {
                "redraws": len(seconds),
                "median_s": round(statistics.median(seconds), 3),
                "p95_s": round(percentile(seconds, 0.95), 3),
            }
            for kind, seconds in self.redraws.items()
            if seconds
        }
        return {
            "readers": shown,
            "errors": self.errors[:20],
            "n_errors": len(self.errors),
            "memory_mib": self._growth(),
        }

    def _growth(self) -> dict[str, float]:
        """Resident memory at the middle and the end of the run, its highest,
        and the growth a minute over the second half."""
        half = self.memory[-1][0] / 2
        late = [(second, size) for second, size in self.memory if second >= half]
        slope = statistics.linear_regression(*zip(*late, strict=True)).slope if len(late) > 1 else 0.0
        sizes = [size for _, size in self.memory]
        return {
            "middle": round(late[0][1], 1),
            "end": round(sizes[-1], 1),
            "highest": round(max(sizes), 1),
            "growth_per_minute": round(60 * slope, 2),
        }


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of a sample lies, at least one of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(seconds: float, sessions: int, browsers: int, json_path: str | None = None) -> int:
    """Measure, print a table and write it as JSON where asked; returns 0 where nothing failed, else 1."""
    found = measure(seconds, sessions, browsers).form()
    print(
        f"{browsers} browsers and {sessions} WebSocket sessions for {seconds:.0f} s on {PAGE}, "
        f"{THINKING_S[0]:g} to {THINKING_S[1]:g} s between the choices of each;"
    )
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n{'':22} {'redraws':>8} {'median, s':>10} {'p95, s':>8}"
    )
    for kind, row in found["readers"].items():
        print(f"{kind:22} {row['redraws']:>8} {row['median_s']:>10.2f} {row['p95_s']:>8.2f}")
    print(f"errors: {found['n_errors']}" + "".join(f"\n  {line}" for line in found["errors"]))
    print(
        "server's resident memory, MiB: {middle} in the middle, {end} at the end, {highest} highest, "
        "growing by {growth_per_minute} a minute at last".format(**found["memory_mib"])
    )
    if json_path:
        Path(json_path).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if not found["n_errors"] else 1


def measure(seconds: float, sessions: int, browsers: int) -> Load:
    """Let the readers read.

    Raises:
        UserError: browsers are wanted and Chromium or Playwright is missing.
    """
    load = Load()
    with tempfile.TemporaryDirectory() as root, dashboard(REPDISS_CACHE=root) as address:
        asyncio.run(_read_all(load, address, seconds, sessions, browsers))
    return load


async def _read_all(load: Load, address: str, seconds: float, sessions: int, browsers: int) -> None:
    """All readers open the page first; the time runs from when the last one sees it."""
    async with contextlib.AsyncExitStack() as opened:
        readers = [await _open_session(load, opened, address, random.Random(number)) for number in range(sessions)]
        readers += await _open_browsers(load, opened, address, browsers) if browsers else []
        began = time.monotonic()
        turning = (
            _turn_over(kind, load, began + seconds, random.Random(at), choose)
            for at, (kind, choose) in enumerate(readers)
        )
        await asyncio.gather(_watch(load, _server(), began, began + seconds), *turning)


def _server() -> psutil.Process:
    """The dashboard that this process has started."""
    alive = (child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE)
    return next(child for child in alive if "streamlit" in child.cmdline())


async def _watch(load: Load, server: psutil.Process, began: float, end: float) -> None:
    while time.monotonic() < end:
        load.memory.append((time.monotonic() - began, server.memory_info().rss / 2**20))
        await asyncio.sleep(1.0)


async def _turn_over(kind: str, load: Load, end: float, dice: random.Random, choose: Choose) -> None:
    """Choose, wait for the redraw, think; until the end. Whatever ends a reader is what the run is to tell."""
    try:
        await asyncio.sleep(dice.uniform(0, THINKING_S[1]))
        while time.monotonic() < end:
            began = time.perf_counter()
            await asyncio.wait_for(choose(), LIMIT_S)
            load.redraws[kind].append(time.perf_counter() - began)
            await asyncio.sleep(dice.uniform(*THINKING_S))
    except Exception as error:
        load.errors.append(f"{kind}: {type(error).__name__}: {error}")


async def _open_session(
    load: Load, opened: contextlib.AsyncExitStack, address: str, dice: random.Random
) -> tuple[str, Choose]:
    """A reader without a browser: Streamlit's own protocol, the same script runs and the same figures sent."""
    from websockets.asyncio.client import connect
    from websockets.typing import Origin, Subprotocol

    url, spoken = f"ws{address.removeprefix('http')}/_stcore/stream", [Subprotocol("streamlit")]
    socket = await opened.enter_async_context(connect(url, subprotocols=spoken, max_size=None, origin=Origin(address)))
    session = _Session(socket, load)
    await session.rerun()
    return SESSIONS, lambda: session.choose(dice)


class _Session:
    """One connection: what was chosen, and the dropdowns that the page offers."""

    def __init__(self, socket: Any, load: Load) -> None:
        self.socket, self.load = socket, load
        self.offered: dict[str, tuple[str, list[str]]] = {}
        self.chosen: dict[str, str] = {}

    async def choose(self, dice: random.Random) -> None:
        """Another value of one of the dropdowns; returns once the page is complete."""
        label = dice.choice([name for name in TURNED if name in self.offered])
        widget, options = self.offered[label]
        self.chosen[widget] = dice.choice([option for option in options if option != self.chosen.get(widget)])
        await self.rerun()

    async def rerun(self) -> None:
        """Ask for a run of the page's script and read it to its end."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        asked = BackMsg()
        asked.rerun_script.page_name = PAGE
        for widget, value in self.chosen.items():
            asked.rerun_script.widget_states.widgets.add(id=widget, string_value=value)
        await self.socket.send(asked.SerializeToString())
        while True:
            message = ForwardMsg.FromString(await self.socket.recv())
            kind = message.WhichOneof("type")
            if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                self._note(message.delta.new_element)
            if kind == "script_finished":
                if message.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                    self.load.errors.append(f"session: the script ended as {message.script_finished}")
                return

    def _note(self, element: Any) -> None:
        if element.WhichOneof("type") == "exception":
            self.load.errors.append(f"session: {element.exception.type}: {element.exception.message}")
        if element.WhichOneof("type") == "selectbox":
            self.offered[element.selectbox.label] = (element.selectbox.id, list(element.selectbox.options))


async def _open_browsers(
    load: Load, opened: contextlib.AsyncExitStack, address: str, n: int
) -> list[tuple[str, Choose]]:
    """Readers with a browser, who turn Figure 1 from losses to penalties and back."""
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        raise UserError(
            "`bench load` with browsers needs Playwright: `pip install -r requirements-dev.txt`, or --browsers 0."
        ) from None
    if chromium() is None:
        raise UserError(
            "`bench load` with browsers needs Chromium, and none is on the PATH. Install it, or use --browsers 0."
        )
    playwright = await opened.enter_async_context(async_playwright())
    running = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    opened.push_async_callback(running.close)
    return [(BROWSERS, await _open_page(load, running, address)) for _ in range(n)]


async def _open_page(load: Load, running: Any, address: str) -> Choose:
    page, words = await running.new_page(viewport={"width": 1440, "height": 1000}), ["loss", "penalty"]
    page.on("pageerror", lambda error: load.errors.append(f"browser: {error}"))

    async def choose() -> None:
        words.reverse()
        await page.evaluate(CHOOSE, words[0])
        await page.wait_for_function(SHOWS, arg=words[0], polling="raf", timeout=LIMIT_S * 1000)
        await page.wait_for_function(SETTLED, polling="raf", timeout=LIMIT_S * 1000)
        if await page.locator('[data-testid="stException"]').count():
            load.errors.append("browser: the page shows an exception")

    await page.goto(f"{address}/{PAGE}")
    await page.wait_for_function(SETTLED, polling="raf", timeout=LIMIT_S * 1000)
    return choose
