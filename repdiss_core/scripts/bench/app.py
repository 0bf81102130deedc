"""`bench app`: how long a user waits for the first page, for another page, for a figure after a choice,
for word on a clicked cell.

A page counts as there once its script has run and every chart in sight is drawn; charts below the window follow when it
rests.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from repdiss_core.base.errors import UserError
from repdiss_core.scripts.bench.browser import FLAGS, chromium, dashboard, settle

FIRST, SWITCH, REDRAW = "first page interactive, from `streamlit run`", "page switch", "figure redrawn after a choice"
CLICK = "a clicked cell explained"
DEEP = "first page by a link to Activation asymmetry (no target)"
ONCE = (
    "Runs",
    "Compare models",
    "RepDiss",
    "Activation asymmetry",
    "Generalization",
    "Scaling families",
    "Findings",
    "Tour",
)
LINKS = (
    *ONCE,
    "Compare models",
    "Findings",
    "RepDiss",
    "Generalization",
    "Scaling families",
    "Tour",
    "Activation asymmetry",
    "Runs",
)
TO_PAGE = {label: f"  … of it, to {'Home' if label == 'RepDiss' else label}" for label in dict.fromkeys(LINKS)}
TARGETS = {
    FIRST: (4.0, 5.0), SWITCH: (0.5, None), **dict.fromkeys(TO_PAGE.values(), (0.5, None)),
    REDRAW: (0.5, None), CLICK: (0.3, None), DEEP: (None, None),
}  # fmt: skip
READING_S = 2.0  # a reader's first look at the first page; meanwhile the browser fetches what figures need
FIGURE = "document.querySelector('.st-key-chart-fig1 .js-plotly-plot')"
TOLD = """row => document.querySelector('.st-key-cell-fig4')?.innerText.startsWith(`Layer ${row + 1} of`)
  && document.querySelector('.st-key-panel-fig4 .repdiss-facts dd')?.innerText.includes(`layer ${row + 1}:`)"""
SHOWS = f"word => {FIGURE}?.layout?.yaxis?.title?.text?.startsWith(word)"


@dataclass(frozen=True)
class Waits:
    """Seconds that one thing took, round by round, against its targets."""

    what: str
    seconds: tuple[float, ...]
    target_median: float | None
    target_p95: float | None

    @property
    def median(self) -> float:
        """Half of the rounds were faster."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """The slowest of 20 rounds, interpolated where there are fewer."""
        return (
            statistics.quantiles(self.seconds, n=20, method="inclusive")[-1]
            if len(self.seconds) > 1
            else self.seconds[0]
        )

    @property
    def met(self) -> bool:
        """Whether both targets, where set, are met."""
        pairs = ((self.median, self.target_median), (self.p95, self.target_p95))
        return all(target is None or value <= target for value, target in pairs)


def run(rounds: int, json_path: str | None = None) -> int:
    """Measure, print a table and write it as JSON where asked; returns 0 where every target is met, else 1.

    Raises:
        UserError: Chromium or Playwright is missing.
    """
    measured = measure(rounds)
    print(
        f"{rounds} rounds, each with a fresh server and an empty browser cache; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':58} {'median':>8} {'p95':>8}   target")
    for waits in measured:
        target = " / ".join(f"{t:g} s" for t in (waits.target_median, waits.target_p95) if t is not None)
        verdict = "" if waits.target_median is None else ("met" if waits.met else "MISSED")
        print(f"{waits.what:58} {waits.median:7.2f}s {waits.p95:7.2f}s   {target} {verdict}")
    if json_path:
        rows = [{**asdict(w), "median": w.median, "p95": w.p95, "met": w.met} for w in measured]
        Path(json_path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(waits.met for waits in measured) else 1


def measure(rounds: int) -> list[Waits]:
    """The waits of every kind over the rounds."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("`bench app` needs Playwright: `pip install -r requirements-dev.txt`.") from None
    path = chromium()
    if path is None:
        raise UserError(
            "`bench app` needs Chromium, and none is on the PATH. Install it, "
            "for instance with `apt-get install chromium`."
        )
    found: dict[str, list[float]] = defaultdict(list)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for _ in range(rounds):
            _one_round(browser, found)
        browser.close()
    return [Waits(what, tuple(found[what]), *TARGETS[what]) for what in TARGETS]


def _one_round(browser: Any, found: dict[str, list[float]]) -> None:
    tab = _fresh_tab(browser)
    started = time.perf_counter()
    with dashboard() as address:
        tab.goto(address)
        settle(tab)
        found[FIRST].append(time.perf_counter() - started)
        time.sleep(READING_S)
        for label in LINKS:
            waited = _seconds(partial(_switch, tab, label))
            found[SWITCH].append(waited)
            found[TO_PAGE[label]].append(waited)
        tab.goto(f"{address}/Activation_asymmetry")
        settle(tab)
        for word in ("penalty", "loss", "penalty"):
            found[REDRAW].append(_seconds(partial(_show, tab, word)))
        for row in range(3):
            _point_at_cell(tab, row)
            found[CLICK].append(_seconds(partial(_click, tab, row)))
    tab.context.close()
    tab = _fresh_tab(browser)
    started = time.perf_counter()
    with dashboard() as address:
        tab.goto(f"{address}/Activation_asymmetry")
        settle(tab)
        found[DEEP].append(time.perf_counter() - started)
    tab.context.close()


def _fresh_tab(browser: Any) -> Any:
    """A tab that shares no cache with those before it."""
    return browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()


def _seconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _switch(tab: Any, label: str) -> None:
    """Click a link of the navigation and wait until its page has settled under its own title."""
    before = tab.locator("h1").inner_text()
    tab.locator(".st-key-navigation").get_by_role("link", name=label, exact=True).click()
    tab.wait_for_function(
        "before => { const h = document.querySelector('h1'); return h && h.innerText !== before }",
        arg=before,
        polling="raf",
    )
    settle(tab)


def _show(tab: Any, word: str) -> None:
    """Choose loss or penalty and wait until Figure 1 shows it."""
    tab.get_by_role("radio", name=word).or_(tab.get_by_role("button", name=word, exact=True)).first.click()
    tab.wait_for_function(SHOWS, arg=word, polling="raf")
    settle(tab)


def _point_at_cell(tab: Any, row: int) -> None:
    """Move the pointer onto a cell of Figure 4's last map, and wait until the chart knows."""
    chart = tab.locator(".st-key-chart-fig4")
    chart.scroll_into_view_if_needed()
    chart.locator('.repdiss-chart[data-state="drawn"]').wait_for()
    box = chart.locator(".heatmaplayer").nth(2).bounding_box()
    tab.mouse.move(box["x"] - 5, box["y"] - 5)
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * (2.5 - row) / 3, steps=6)
    chart.locator(".hoverlayer .hovertext").filter(has_text=f"solu-3l-s0, layer {row + 1}").wait_for()


def _click(tab: Any, row: int) -> None:
    """Click there and wait for the line on that cell and the list of what it rests on."""
    tab.mouse.down()
    tab.mouse.up()
    tab.wait_for_function(TOLD, arg=row, polling="raf")
