"""What browser tests read from a page: the values of a map, and faults that must not occur."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

NORMAL_404 = ("/_stcore/health", "/_stcore/host-config")


def bring(page, chart_key: str):
    """The chart's element, scrolled to and drawn: charts far below the window wait until they come near."""
    chart = page.locator(f".st-key-{chart_key} .repdiss-chart")
    chart.scroll_into_view_if_needed()
    page.locator(f'.st-key-{chart_key} .repdiss-chart[data-state="drawn"]').wait_for()
    return chart


def values(page, chart_key: str, panel: int = 0) -> list[list[float | None]]:
    """z of the n-th map of values of a chart, as Plotly holds it in the browser."""
    bring(page, chart_key)
    script = """([key, n]) => document.querySelector(`.st-key-${key} .js-plotly-plot`).calcdata
      .map(t => t[0]).filter(t => t.trace.type === 'heatmap' && t.trace.name === 'values')[n].z.map(row => [...row])"""
    return page.evaluate(script, [chart_key, panel])


def cell_box(page, chart: str, panel: int, row: int, column: int, size: int) -> tuple[float, float, float, float]:
    """(left, top, width, height) of a cell on the screen, rows counted upward from 0, in a map of size × size cells."""
    bring(page, chart)
    box = page.locator(f".st-key-{chart} .heatmaplayer").nth(panel).bounding_box()
    width, height = box["width"] / size, box["height"] / size
    return box["x"] + column * width, box["y"] + (size - 1 - row) * height, width, height


def point_at(page, chart: str, panel: int, row: int, column: int, size: int = 3):
    """Move the pointer onto the middle of a cell, step by step; returns the hover text's element."""
    left, top, width, height = cell_box(page, chart, panel, row, column, size)
    page.mouse.move(left - 5, top + 5)
    page.mouse.move(left + width / 2, top + height / 2, steps=6)
    hover = page.locator(f".st-key-{chart} .hoverlayer .hovertext")
    hover.wait_for()
    return hover


def barriers(page) -> list[str]:
    """What axe-core calls serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


class Faults:
    """Console errors, page errors and failed requests of a page,
    but for those that Streamlit makes on every deep link."""

    def __init__(self, page) -> None:
        self.found: list[str] = []
        page.on(
            "console",
            lambda m: self.found.append(f"console: {m.text}") if m.type == "error" and "404" not in m.text else None,
        )
        page.on("pageerror", lambda e: self.found.append(f"page error: {e}"))
        page.on("response", self._response)
        page.on("requestfailed", lambda r: self.found.append(f"failed: {r.url}") if "127.0.0.1" not in r.url else None)

    def _response(self, response) -> None:
        if response.status >= 400 and not response.url.split("?")[0].endswith(NORMAL_404):
            self.found.append(f"{response.status}: {response.url}")

    def check(self, page) -> None:
        """Fail on any fault, and on an exception that Streamlit shows in the page."""
        assert page.locator('[data-testid="stException"]').count() == 0, page.locator(
            '[data-testid="stException"]'
        ).first.inner_text()
        assert not self.found, "\n".join(self.found)


def new_cache(folder: Path, data: Path) -> Path:
    """A cache that is empty but for the token streams, which are shared."""
    (folder / "local").mkdir(parents=True)
    data.mkdir(parents=True, exist_ok=True)
    (folder / "local" / "data").symlink_to(data)
    return folder


@contextmanager
def open_tab(browser, scheme: str):
    """A tab of its own; faults are checked at its end."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme=scheme)
    context.set_default_timeout(30_000)
    page = context.new_page()
    faults = Faults(page)
    try:
        yield page
        faults.check(page)
    finally:
        context.close()
