"""One server for all browser tests, and a tab for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import new_cache, open_tab

from repdiss_core.base.paths import cache_root
from repdiss_core.scripts.bench.browser import dashboard, settle


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The token streams of this machine."""
    return cache_root() / "local" / "data"


@pytest.fixture(scope="session")
def site_cache(tmp_path_factory, shared_data) -> Path:
    """A local cache in which nothing was computed yet: the pages show what ships."""
    return new_cache(tmp_path_factory.mktemp("site") / "cache", shared_data)


@pytest.fixture(scope="session")
def site(browser, site_cache):
    """The address of a server that all tests share."""
    with dashboard(str(site_cache / "server.log"), REPDISS_CACHE=str(site_cache)) as address:
        yield address


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
