"""One browser and one server for all browser tests; without Chromium they skip loudly, under CI=true they fail."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from browsing import Faults

from repdiss_core.bench.browser import FLAGS, chromium, dashboard, settle
from repdiss_core.paths import cache_root

MISSING = (
    "BROWSER TESTS DID NOT RUN: no Chromium on the PATH, or Playwright is not installed. "
    "`apt-get install chromium` and requirements-dev.txt bring them."
)


def pytest_terminal_summary(terminalreporter):
    """A line that cannot be overlooked."""
    if any(MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(MISSING, red=True, bold=True)


def new_cache(folder: Path, data: Path) -> Path:
    """A cache that is empty but for the token streams, which are shared."""
    (folder / "local").mkdir(parents=True)
    data.mkdir(parents=True, exist_ok=True)
    (folder / "local" / "data").symlink_to(data)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The token streams of this machine."""
    return cache_root() / "local" / "data"


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    path = chromium()
    if sync_playwright is None or path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def site_cache(tmp_path_factory, shared_data) -> Path:
    """A local cache in which nothing was computed yet: the pages show what ships."""
    return new_cache(tmp_path_factory.mktemp("site") / "cache", shared_data)


@pytest.fixture(scope="session")
def site(browser, site_cache):
    """The address of a server that all tests share."""
    with dashboard(str(site_cache / "server.log"), REPDISS_CACHE=str(site_cache)) as address:
        yield address


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


@pytest.fixture
def tab(browser, request):
    """A fresh tab, light unless the test asks for dark."""
    with open_tab(browser, getattr(request, "param", "light")) as page:
        yield page


@pytest.fixture(scope="module")
def shown(browser, site):
    """The asymmetry page, loaded once for the tests that look at it."""
    with open_tab(browser, "light") as page:
        page.goto(f"{site}/Activation_asymmetry")
        settle(page)
        yield page
