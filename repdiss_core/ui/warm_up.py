"""Fetching what draws charts early, so that the first page with figures opens fast."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path

import streamlit as st

from repdiss_core.errors import UserError
from repdiss_core.figures.theme import LOOKS, Look
from repdiss_core.studies.asymmetry import DEPTHS, Params
from repdiss_core.ui.chart import LOAD, serve_library

BRIEFLY_S = 0.0005
COMPONENTS = ("BidiComponent", "Selectbox", "ButtonGroup", "Button", "DownloadButton")


def load_components() -> None:
    """Have the browser load what draws figures at once, while the server still works on them; at a figure page's beginning."""
    st.html(f"<script>{_loads()}</script>", unsafe_allow_javascript=True)


def warm_up() -> None:
    """Have the browser load it when it has nothing else to do; at another page's end."""
    st.html(f"<script>(window.requestIdleCallback || setTimeout)(() => {{{_loads()}}})</script>", unsafe_allow_javascript=True)


def _loads() -> str:
    serve_library()
    return ";".join([LOAD, *(f"import('./static/js/{name}')" for name in _component_files())])


@st.cache_resource(show_spinner=False)
def _component_files() -> list[str]:
    """The files of Streamlit's own components, as the browser will ask for them."""
    folder = Path(st.__file__).parent / "static" / "static" / "js"
    return [path.name for name in COMPONENTS for path in folder.glob(f"{name}.*.js")]


@st.cache_resource(show_spinner=False)
def prepare(look: str) -> None:
    """Have the server draw, in the background and once, what the figure pages show before anything is chosen.

    Args:
        look: a name in `repdiss_core.figures.theme.LOOKS`.
    """
    threading.Thread(target=_prepare, args=(LOOKS[look],), daemon=True).start()


def _prepare(look: Look) -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(BRIEFLY_S)  # a page that is asked for meanwhile hands the interpreter over hundreds of times
    try:
        draw_first_figures(look)
    finally:
        sys.setswitchinterval(usual)


def draw_first_figures(look: Look) -> None:
    """Draw and keep what the figure pages show before anything is chosen, and judge their claims."""
    from repdiss_core.claims_generalization import generalization_claims, headline
    from repdiss_core.studies.generalization import Params as Population
    from repdiss_core.ui import asymmetry_cards, generalization_cards
    from repdiss_core.ui.claims_list import stored_claims
    from repdiss_core.ui.figure_card import drawn_card

    with suppress(UserError):  # no models: the page itself says so
        for card in asymmetry_cards.first_cards():
            _ = drawn_card(card, look).spec
        for depth in DEPTHS:
            stored_claims(Params(depth=depth))
        population = Population()
        for card in generalization_cards.cards(population, "accuracy")[:-1]:  # the last one stands in a tab that is closed
            _ = drawn_card(card, look).spec
        data = generalization_cards.loaded(population)
        headline(data)
        generalization_claims(data)
