"""Fetching what draws charts early, so that the first page with figures opens fast."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import streamlit as st

from repdiss_core.base.errors import UserError
from repdiss_core.plots.theme import LOOKS, Look
from repdiss_core.studies.findings import judged_studies
from repdiss_core.studies.scaling.question import FamilyParams
from repdiss_core.ui.parts.chart import LOAD, serve_library

BRIEFLY_S = 0.0005
REST_S = 0.3
_LATEST = {"run": 0.0}  # when a page was asked for last, on the monotonic clock
COMPONENTS = ("BidiComponent", "Selectbox", "ButtonGroup", "Button", "DownloadButton")


def load_components() -> None:
    """Have the browser load what draws figures at once, while the server still works on them;
    at a figure page's beginning."""
    whole_pandas()
    st.html(f"<script>{_loads()}</script>", unsafe_allow_javascript=True)


def warm_up() -> None:
    """Have the browser load it when it has nothing else to do; at another page's end."""
    st.html(
        f"<script>(window.requestIdleCallback || setTimeout)(() => {{{_loads()}}})</script>",
        unsafe_allow_javascript=True,
    )


def whole_pandas() -> None:
    """Return once pandas is loaded whole; before anything is drawn.

    Plotly looks for pandas among the loaded modules without importing it: one that another thread had loaded in part
    made it fail.
    """
    import pandas  # noqa: F401


def _loads() -> str:
    serve_library()
    return ";".join([LOAD, *(f"import('./static/js/{name}')" for name in _component_files())])


@st.cache_resource(show_spinner=False)
def _component_files() -> list[str]:
    """The files of Streamlit's own components, as the browser will ask for them."""
    folder = Path(st.__file__).parent / "static" / "static" / "js"
    return [path.name for name in COMPONENTS for path in folder.glob(f"{name}.*.js")]


def a_page_runs() -> None:
    """Tell the background thread that a page comes first; at every page's beginning."""
    _LATEST["run"] = time.monotonic()


@st.cache_resource(show_spinner=False)
def prepare(look: str) -> None:
    """Have the server draw, in the background and once, what the figure pages show before anything is chosen.

    Args:
        look: a name in `repdiss_core.plots.theme.LOOKS`.
    """
    threading.Thread(target=_prepare, args=(LOOKS[look],), daemon=True).start()


def _prepare(look: Look) -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(BRIEFLY_S)  # a page that is asked for meanwhile hands the interpreter over hundreds of times
    try:
        whole_pandas()
        with suppress(UserError):  # no models: the page itself says so
            for _ in steps(look):
                while time.monotonic() - _LATEST["run"] < REST_S:
                    time.sleep(0.05)
    finally:
        sys.setswitchinterval(usual)


def steps(look: Look) -> Iterator[None]:
    """Draw and keep what the figure pages show before anything is chosen, and judge their claims;
    yields between steps."""
    yield
    from repdiss_core.ui.cards.figure_card import drawn_card
    from repdiss_core.ui.cards.scaling_tables import rows_of_massive
    from repdiss_core.ui.cards.study_cards import first_cards
    from repdiss_core.ui.findings_page import stored_findings
    from repdiss_core.ui.study_pages import STUDY_PAGES

    first = [(page, page.first()) for page in STUDY_PAGES.values() if page.first is not None]
    for page, choice in first:
        for card in first_cards(page.study.name, choice):
            yield
            _ = drawn_card(card, look).spec
    for page, choice in first:
        for judge in (page.said, page.claims):
            yield
            judge(choice)
    yield
    rows_of_massive(FamilyParams())
    for study in judged_studies():
        yield
        stored_findings(study.name)
