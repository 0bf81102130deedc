"""Page tests draw what they look at themselves."""

import pytest


@pytest.fixture(autouse=True)
def nothing_in_the_background(monkeypatch):
    """The thread that draws other pages ahead would outlive the test, and fill the next one's memory."""
    monkeypatch.setattr("repdiss_core.ui.page.prepare", lambda look: None)
