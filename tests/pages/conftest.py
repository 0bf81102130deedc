"""Page tests draw what they look at themselves."""

import pytest


@pytest.fixture(autouse=True)
def nothing_in_the_background(monkeypatch):
    """The thread that draws other pages ahead would outlive the test, and fill the next one's memory."""
    monkeypatch.setattr("repdiss_core.ui.page.prepare", lambda look: None)


@pytest.fixture
def fresh_store(own_cache, monkeypatch):
    """The page opens the test's own cache, and no shipped results."""
    from repdiss_core.ui.cards import figure_card
    from repdiss_core.ui.parts.shared import result_store

    monkeypatch.setattr("repdiss_core.store.cache.bundled_root", lambda: own_cache / "bundled")
    result_store.clear()
    figure_card._DRAWN.clear()
    yield
    result_store.clear()
    figure_card._DRAWN.clear()
