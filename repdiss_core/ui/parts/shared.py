"""What all parts of a page share: the pages and their addresses, the results at hand, the look,
errors told in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.theme import LOOKS, Look
from repdiss_core.store.cache import ResultStore
from repdiss_core.store.entries import Entry
from repdiss_core.studies.paper import PAIR, STUDIES
from repdiss_core.ui.parts.presenting import choices, presenting
from repdiss_core.ui.parts.text import as_text

PAGES = {
    "app.py": "The paper’s map",
    **{study.page: study.label for study in (*STUDIES.values(), PAIR)},
    "pages/5_Findings.py": "Findings",
    "pages/6_Tour.py": "Tour",
    "pages/7_Runs.py": "Runs",
}
REMEMBERED = "choices by page"
CURRENT = "page that is open"


def current_page() -> str:
    """The key in `PAGES` of the page that is open; fragments that run alone read it too."""
    return st.session_state[CURRENT]


def page_address(path: str) -> str:
    """A page's address without its choices, relative to the server: "/" or "/Findings"."""
    return "/" if path == "app.py" else "/" + path.rsplit("/", 1)[-1].partition("_")[2].removesuffix(".py")


def remember_choices() -> None:
    """Keep what the address says for the next visit of this page; for choices that the page is not run anew for."""
    st.session_state[REMEMBERED][current_page()] = choices()


class PageStore(ResultStore):
    """Results for pages: shipped entries, which never change while the server runs, are read and checked once."""

    def __init__(self) -> None:
        super().__init__()
        self._shipped: dict[str, Entry | None] = {}

    def get_shipped(self, key: str) -> Entry | None:
        """The shipped entry, from memory after the first time."""
        if key not in self._shipped:
            self._shipped[key] = super().get_shipped(key)
        return self._shipped[key]


@st.cache_resource(show_spinner=False)
def result_store() -> ResultStore:
    """The results at hand, opened once for the whole server."""
    return PageStore()


def stored_version() -> tuple[int, ...]:
    """Changes with every write to the local results, from any process."""
    return result_store().version


def current_look() -> Look:
    """The figures' look for the theme that the browser shows."""
    return LOOKS[("presenting" if presenting() else "page") + ("_dark" if st.context.theme.type == "dark" else "")]


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """A `UserError` inside becomes a sentence on the page; what stands above and below it stays."""
    try:
        yield
    except UserError as error:
        st.error(as_text(error), icon=":material/info:")
